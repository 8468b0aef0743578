/** Brings a database to this release's tables, and records that in the form that Prisma's own tools read. */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { OperatorError } from "../errors.ts";
import { migrationConfig, readingUrl } from "./session.ts";

const DIRECTORY = path.join(import.meta.dirname, "../../prisma/migrations");

// The key that `prisma migrate deploy` locks, so that it and we wait for each other too.
const LOCK_KEY = 72707369;

// Column for column what Prisma creates.
const HISTORY_TABLE = `
  CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    id VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL,
    logs TEXT,
    rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`;

/** One folder of prisma/migrations: its name, which orders it, and the text of its migration.sql. */
export interface Migration {
  name: string;
  sql: string;
}

interface HistoryRow {
  migration_name: string;
  checksum: string;
  finished_at: Date | null;
}

/** The migrations of this release, oldest first. */
export function readMigrations(): Migration[] {
  return readdirSync(DIRECTORY)
    .sort()
    .map((name) => ({ name, file: path.join(DIRECTORY, name, "migration.sql") }))
    .filter(({ file }) => existsSync(file))
    .map(({ name, file }) => ({ name, sql: readFileSync(file, "utf8") }));
}

/**
 * Applies what the database does not have yet, each migration in a transaction of its own. Of several
 * processes that start together one applies and the others wait for it.
 *
 * @returns the names applied by this call, oldest first
 * @throws Error that names the migration, if it fails (its changes are rolled back, earlier ones stay), was
 *   changed after it had been applied, was left unfinished by another tool, or comes from a newer release
 */
export async function applyMigrations(
  connectionString: string,
  migrations: readonly Migration[] = readMigrations(),
): Promise<string[]> {
  const client = readingUrl(() => new pg.Client(migrationConfig(connectionString)));
  // A lost connection also rejects the query under way; without a listener it would end the process.
  client.on("error", () => undefined);
  await client.connect().catch((cause: Error) => {
    const where = `${client.host}:${client.port}`;
    throw new OperatorError(
      `the database at ${where} does not answer: ${cause.message || cause}. Check DATABASE_URL.`,
      { cause },
    );
  });
  try {
    await client.query("SELECT pg_advisory_lock($1)", [LOCK_KEY]);
    await client.query(HISTORY_TABLE);
    const history = await readHistory(client);
    checkHistory(history, migrations);
    const pending = notIn(history, migrations);
    for (const migration of pending) await apply(client, migration);
    return pending.map(({ name }) => name);
  } finally {
    await client.end(); // which releases the lock
  }
}

/**
 * The names of this release's migrations that the database lacks, oldest first. A newer release's are no
 * concern here: nodes of this one may go on while the others are replaced.
 */
export async function pendingMigrations(
  database: pg.Pool,
  migrations: readonly Migration[] = readMigrations(),
): Promise<string[]> {
  const { rows } = await database.query<{ present: boolean }>(
    `SELECT to_regclass('"_prisma_migrations"') IS NOT NULL AS present`,
  );
  const history = rows[0]?.present ? await readHistory(database) : [];
  return notIn(history, migrations).map(({ name }) => name);
}

async function readHistory(database: pg.Client | pg.Pool): Promise<HistoryRow[]> {
  const { rows } = await database.query<HistoryRow>(
    `SELECT migration_name, checksum, finished_at FROM "_prisma_migrations"
     WHERE rolled_back_at IS NULL ORDER BY migration_name`,
  );
  return rows;
}

function checkHistory(history: readonly HistoryRow[], migrations: readonly Migration[]): void {
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const { migration_name: name, checksum, finished_at } of history) {
    const migration = known.get(name);
    if (migration === undefined) {
      throw new OperatorError(
        `The database has migration ${name}, which this release does not know: a newer release has used it. ` +
          "Start that release, or give this one a database of its own.",
      );
    }
    if (finished_at === null) {
      throw new OperatorError(
        `Migration ${name} was begun by another tool and not finished: resolve it there first.`,
      );
    }
    if (checksum !== checksumOf(migration)) {
      throw new OperatorError(
        `Migration ${name} was changed after it had been applied: restore its migration.sql.`,
      );
    }
  }
}

function notIn(history: readonly HistoryRow[], migrations: readonly Migration[]): Migration[] {
  const finished = new Set(
    history.filter((row) => row.finished_at !== null).map((row) => row.migration_name),
  );
  return migrations.filter(({ name }) => !finished.has(name));
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  try {
    await client.query("BEGIN");
    await client.query(migration.sql);
    await client.query(
      `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES (gen_random_uuid(), $1, $2, now(), clock_timestamp(), 1)`,
      [checksumOf(migration), migration.name],
    );
    await client.query("COMMIT");
  } catch (cause) {
    // Closing the connection rolls back.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError(`Migration ${migration.name} failed and was rolled back: ${reason}`, { cause });
  }
}

function checksumOf({ sql }: Migration): string {
  return createHash("sha256").update(sql).digest("hex");
}
