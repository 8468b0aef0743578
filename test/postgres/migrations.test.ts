/** Tests of the migrations: applied once, in order, all or nothing, and recorded as Prisma records them. */
import pg from "pg";
import { describe, expect, it } from "vitest";
import { missingMigration } from "../../scripts/database/migration.ts";
import { withSchemaEngine } from "../../scripts/database/schema-engine.ts";
import {
  applyMigrations,
  type Migration,
  pendingMigrations,
  readMigrations,
} from "../../src/postgres/migrations.ts";
import { emptyDatabase, freshDatabase } from "../support/fresh-database.ts";
import { execute } from "../support/postgres-server.ts";

const FIRST: Migration = { name: "20260101000000_first", sql: "CREATE TABLE first (id int);" };
const SECOND: Migration = { name: "20260102000000_second", sql: "CREATE TABLE second (id int);" };
const RELEASE = readMigrations();
const NAMES = RELEASE.map(({ name }) => name);

async function tables(connectionString: string): Promise<unknown[]> {
  const rows = await execute(
    connectionString,
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_%' ORDER BY 1",
  );
  return rows.map(({ tablename }) => tablename);
}

describe("applyMigrations", () => {
  it("applies every migration once", async () => {
    await using database = await emptyDatabase();
    expect(await applyMigrations(database.connectionString)).toEqual(NAMES);
    expect(await applyMigrations(database.connectionString)).toEqual([]);
    expect(await tables(database.connectionString)).toContain("job_revision");
  });

  it("applies only what is new, in order", async () => {
    await using database = await emptyDatabase();
    await applyMigrations(database.connectionString, [FIRST]);
    const third = { name: "20260103000000_third", sql: "ALTER TABLE second ADD COLUMN more int;" };
    expect(await applyMigrations(database.connectionString, [FIRST, SECOND, third])).toEqual([
      SECOND.name,
      third.name,
    ]);
  });

  it("applies each migration once when several processes start together", async () => {
    await using database = await emptyDatabase();
    const applied = await Promise.all(
      Array.from({ length: 4 }, () => applyMigrations(database.connectionString)),
    );
    expect(applied.flat()).toEqual(NAMES);
  });

  it("says that it waits for the lock that another node holds, and then for each migration", async () => {
    await using database = await emptyDatabase();
    const other = new pg.Client(database.connectionString);
    await other.connect();
    await other.query("SELECT pg_advisory_lock(72707369)");
    const told: string[] = [];
    const waits = Promise.withResolvers<void>();
    const applied = applyMigrations(database.connectionString, [FIRST], (what) => {
      told.push(what);
      if (what.includes("lock")) waits.resolve();
    });
    await waits.promise;
    await other.end();
    await applied;
    expect(told).toEqual([
      expect.stringMatching(/^the database at /),
      expect.stringMatching(/^another node or tool, which holds the lock for migrations/),
      expect.stringMatching(/^the database at /),
      `migration ${FIRST.name}`,
    ]);
  });

  it("rolls back a failing migration, names it and keeps the earlier ones", async () => {
    await using database = await emptyDatabase();
    const failing = { name: SECOND.name, sql: `${SECOND.sql} SELECT 1 / 0;` };
    await expect(applyMigrations(database.connectionString, [FIRST, failing])).rejects.toThrow(
      `Migration ${SECOND.name} failed and was rolled back: division by zero`,
    );
    expect(await tables(database.connectionString)).toEqual(["first"]);
    expect(await applyMigrations(database.connectionString, [FIRST, SECOND])).toEqual([SECOND.name]);
  });

  it("rolls back a migration that it cannot record", async () => {
    await using database = await emptyDatabase();
    const unrecordable = { name: "n".repeat(256), sql: SECOND.sql };
    await expect(applyMigrations(database.connectionString, [FIRST, unrecordable])).rejects.toThrow(
      "too long",
    );
    expect(await tables(database.connectionString)).toEqual(["first"]);
  });

  it("refuses a migration that was changed after it was applied", async () => {
    await using database = await emptyDatabase();
    await applyMigrations(database.connectionString, [FIRST]);
    const changed = { name: FIRST.name, sql: `${FIRST.sql} -- changed` };
    await expect(applyMigrations(database.connectionString, [changed, SECOND])).rejects.toThrow(
      `Migration ${FIRST.name} was changed`,
    );
    expect(await tables(database.connectionString)).toEqual(["first"]);
  });

  it("refuses a database that a newer release has used", async () => {
    await using database = await emptyDatabase();
    await applyMigrations(database.connectionString, [FIRST, SECOND]);
    await expect(applyMigrations(database.connectionString, [FIRST])).rejects.toThrow(
      `The database has migration ${SECOND.name}, which this release does not know`,
    );
  });

  it("refuses a migration that another tool left unfinished until it is marked as rolled back", async () => {
    await using database = await emptyDatabase();
    await applyMigrations(database.connectionString, [FIRST]);
    await execute(
      database.connectionString,
      `INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', 'x', '${SECOND.name}')`,
    );
    await expect(applyMigrations(database.connectionString, [FIRST, SECOND])).rejects.toThrow(
      `Another tool started migration ${SECOND.name}`,
    );
    await execute(
      database.connectionString,
      "UPDATE _prisma_migrations SET rolled_back_at = now() WHERE id = 'x'",
    );
    expect(await applyMigrations(database.connectionString, [FIRST, SECOND])).toEqual([SECOND.name]);
  });

  it("works in UTC on a database that is set to another zone", async () => {
    await using database = await emptyDatabase();
    const { connectionString, name } = database;
    await execute(connectionString, `ALTER DATABASE "${name}" SET timezone TO 'Europe/Brussels'`);
    const noon = {
      name: FIRST.name,
      sql: "CREATE TABLE noon AS SELECT TIMESTAMPTZ '2026-07-01 12:00' AS at;",
    };
    const before = Date.now();
    await applyMigrations(connectionString, [noon]);
    const [row] = await execute(
      connectionString,
      "SELECT at, started_at, finished_at FROM noon, _prisma_migrations",
    );
    expect(row?.["at"]).toEqual(new Date("2026-07-01T12:00:00Z"));
    const [started, finished] = [Number(row?.["started_at"]), Number(row?.["finished_at"])];
    // The clock of a remote server may differ by seconds. A wrong zone would differ by an hour.
    expect(Math.abs(started - before)).toBeLessThan(600_000);
    expect(finished).toBeGreaterThanOrEqual(started);
  });
});

describe("pendingMigrations", () => {
  it("lists the migrations that the database lacks, and ignores those of a newer release", async () => {
    await using database = await emptyDatabase();
    const pool = new pg.Pool({ connectionString: database.connectionString });
    try {
      expect(await pendingMigrations(pool, [FIRST, SECOND])).toEqual([FIRST.name, SECOND.name]);
      await applyMigrations(database.connectionString, [FIRST]);
      expect(await pendingMigrations(pool, [FIRST, SECOND])).toEqual([SECOND.name]);
      await applyMigrations(database.connectionString, [FIRST, SECOND]);
      expect(await pendingMigrations(pool, [FIRST])).toEqual([]);
    } finally {
      await pool.end();
    }
  });
});

describe("the migrations of this release", () => {
  it("produce the tables of schema.prisma", async () => {
    await using database = await emptyDatabase();
    expect(await missingMigration(database.connectionString)).toBe("");
  });

  it("are reported as missing when they are absent", async () => {
    await using database = await emptyDatabase();
    expect(await missingMigration(database.connectionString, [])).toContain('CREATE TABLE "job"');
  });

  it("leave nothing to do for `prisma migrate deploy`", async () => {
    await using database = await emptyDatabase();
    await applyMigrations(database.connectionString);
    const filters = { externalTables: [], externalEnums: [] };
    const migrationsList = {
      baseDir: "prisma/migrations",
      lockfile: { path: "migration_lock.toml", content: 'provider = "postgresql"' },
      shadowDbInitScript: "",
      migrationDirectories: RELEASE.map(({ name, sql }) => ({
        path: name,
        migrationFile: { path: "migration.sql", content: { tag: "ok" as const, value: sql } },
      })),
    };
    await withSchemaEngine(database.connectionString, async (engine) => {
      const input = { migrationsList, filters, optInToShadowDatabase: false };
      expect(await engine.diagnoseMigrationHistory(input)).toEqual({
        editedMigrationNames: [],
        failedMigrationNames: [],
        hasMigrationsTable: true,
        history: null,
      });
      expect(await engine.applyMigrations({ migrationsList, filters })).toEqual({
        appliedMigrationNames: [],
      });
    });
  });

  it("give revisions from before missed_runs the new default, and leave later ones as they are", async () => {
    await using database = await emptyDatabase();
    const before = RELEASE.filter(({ name }) => name < "20261128140500");
    await applyMigrations(database.connectionString, before);
    await execute(database.connectionString, "INSERT INTO schedule (name) VALUES ('default')");
    const insert = "INSERT INTO job (schedule_id, name) SELECT id, 'coffee' FROM schedule";
    await execute(database.connectionString, insert);
    await execute(
      database.connectionString,
      `INSERT INTO job_revision (job_id, number, shell, command, retry_limit, retry_delay_ms, retry_backoff,
         retry_jitter, enabled, missed_runs, catchup_window_ms)
       SELECT id, number, true, '{true}', 0, 0, 'constant', 0, true, policy::missed_runs_policy, win
       FROM job, (VALUES (1, 'skip', NULL), (2, 'all', NULL), (3, 'skip', 86400000)) AS saved (number, policy, win)`,
    );
    await applyMigrations(database.connectionString);
    const rows = await execute(
      database.connectionString,
      "SELECT missed_runs::text, catchup_window_ms::int FROM job_revision ORDER BY number",
    );
    expect(rows).toEqual([
      { missed_runs: "last", catchup_window_ms: null },
      { missed_runs: "all", catchup_window_ms: null },
      { missed_runs: "skip", catchup_window_ms: 86_400_000 },
    ]);
  });

  it("allow one job of a name beside deleted jobs of the same name", async () => {
    await using database = await freshDatabase();
    const insert = (deletedAt: string): Promise<unknown> =>
      execute(
        database.connectionString,
        `WITH s AS (SELECT id FROM schedule) INSERT INTO job (schedule_id, name, deleted_at) SELECT id, 'coffee', ${deletedAt} FROM s`,
      );
    await execute(database.connectionString, "INSERT INTO schedule (name) VALUES ('default')");
    await insert("now()");
    await insert("now()");
    await insert("NULL");
    await expect(insert("NULL")).rejects.toThrow("job_live_name");
  });
});

describe("freshDatabase", () => {
  it("copies the template, pg-boss' schema included, for several tests at once", async () => {
    const databases = await Promise.all(Array.from({ length: 3 }, () => freshDatabase()));
    for (const { connectionString, drop } of databases) {
      expect(await execute(connectionString, "SELECT * FROM pgboss.version")).toHaveLength(1);
      expect(await applyMigrations(connectionString)).toEqual([]);
      await drop();
    }
  });
});
