/** Applies this release's migrations to a database and records them in the table that Prisma's own tools use. */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { OperatorError } from "../errors.ts";
import { migrationConfig, withReadableUrl } from "./session.ts";

const DIRECTORY = path.join(import.meta.dirname, "../../prisma/migrations");

// The key of Prisma's own advisory lock: `prisma migrate deploy` and Carillon wait for each other.
const LOCK_KEY = 72707369;

// The columns are the same as in the table that Prisma creates.
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

/** One folder of prisma/migrations: its name, which gives the order, and the text of its migration.sql. */
export interface Migration {
  name: string;
  sql: string;
}

interface HistoryRow {
  migration_name: string;
  checksum: string;
  finished_at: Date | null;
}

/** Returns the migrations of this release, oldest first. */
export function readMigrations(): Migration[] {
  return readdirSync(DIRECTORY)
    .sort()
    .map((name) => ({ name, file: path.join(DIRECTORY, name, "migration.sql") }))
    .filter(({ file }) => existsSync(file))
    .map(({ name, file }) => ({ name, sql: readFileSync(file, "utf8") }));
}

/**
 * Applies the migrations that the database lacks, each in its own transaction. When several processes start together,
 * one applies them and the others wait for it.
 *
 * @param waitsFor told what this call waits for, in words
 * @returns the names of the migrations that this call applied, oldest first
 * @throws OperatorError when the database does not answer, or naming a migration that failed (it is rolled back,
 *   earlier ones stay), was changed after it was applied, was left unfinished by another tool, or belongs to a newer
 *   release
 */
export async function applyMigrations(
  connectionString: string,
  migrations: readonly Migration[] = readMigrations(),
  waitsFor: (what: string) => void = () => undefined,
): Promise<string[]> {
  const client = withReadableUrl(() => new pg.Client(migrationConfig(connectionString)));
  // A lost connection rejects the current query, which is enough. Without a listener it would also end the process.
  client.on("error", () => undefined);
  const where = `${client.host}:${client.port}`;
  waitsFor(`the database at ${where}`);
  await client.connect().catch((cause: Error) => {
    throw new OperatorError(
      `the database at ${where} does not answer: ${cause.message || cause}. Check DATABASE_URL.`,
      { cause },
    );
  });
  try {
    waitsFor(`another node or tool, which holds the lock for migrations (pg_advisory_lock ${LOCK_KEY})`);
    await client.query("SELECT pg_advisory_lock($1)", [LOCK_KEY]);
    waitsFor(`the database at ${where}`);
    await client.query(HISTORY_TABLE);
    const history = await readHistory(client);
    checkHistory(history, migrations);
    const pending = missingFrom(history, migrations);
    for (const migration of pending) {
      waitsFor(`migration ${migration.name}`);
      await apply(client, migration);
    }
    return pending.map(({ name }) => name);
  } finally {
    await client.end(); // which releases the lock
  }
}

/**
 * Returns the names of this release's migrations that the database lacks, oldest first. Migrations of a newer release
 * are ignored: nodes of this release keep running while a rolling upgrade replaces them.
 */
export async function pendingMigrations(
  database: pg.Pool,
  migrations: readonly Migration[] = readMigrations(),
): Promise<string[]> {
  const { rows } = await database.query<{ present: boolean }>(
    `SELECT to_regclass('"_prisma_migrations"') IS NOT NULL AS present`,
  );
  const history = rows[0]?.present ? await readHistory(database) : [];
  return missingFrom(history, migrations).map(({ name }) => name);
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
        `The database has migration ${name}, which this release does not know: a newer release has used the ` +
          "database. Start the newer release, or give this one its own database.",
      );
    }
    if (finished_at === null) {
      throw new OperatorError(
        `Another tool started migration ${name} and did not finish it: resolve it with that tool first.`,
      );
    }
    if (checksum !== checksumOf(migration)) {
      throw new OperatorError(
        `Migration ${name} was changed after it was applied: restore its migration.sql.`,
      );
    }
  }
}

function missingFrom(history: readonly HistoryRow[], migrations: readonly Migration[]): Migration[] {
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
