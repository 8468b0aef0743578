/** Writes migrations from schema.prisma, or checks that the two agree, since Prisma's own tool needs a native engine. */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { applyMigrations, type Migration, readMigrations } from "../../src/postgres/migrations.ts";
import { createDatabase, dropDatabase, openServer } from "../../test/support/postgres-server.ts";
import { SCHEMA, withSchemaEngine } from "./schema-engine.ts";

const USAGE = `Usage:
  node scripts/database/migration.ts NAME      write the migration that leads to schema.prisma
  node scripts/database/migration.ts --amend   write the newest one again, while nothing is released with it
  node scripts/database/migration.ts --check   fail if the migrations do not lead to schema.prisma`;

const HAND_WRITTEN = "-- Written by hand";
const FOLDER = new URL("../../prisma/migrations/", import.meta.url);

/**
 * What a next migration would have to do.
 *
 * @param shadow the connection string of an empty database, which is written to
 * @param migrations what is applied to it first
 * @returns SQL; an empty string if nothing is left to do
 */
export async function missingMigration(
  shadow: string,
  migrations: readonly Migration[] = readMigrations(),
): Promise<string> {
  await applyMigrations(shadow, migrations);
  const files = [{ path: "schema.prisma", content: SCHEMA }];
  const { exitCode, stdout } = await withSchemaEngine(shadow, (engine) =>
    engine.diff({
      // Not `tag: "migrations"`: the adapter would run them in the database it is connected to, as its shadow
      // database has another name but the same connection string, which wins.
      from: { tag: "schemaDatasource", files, configDir: "" },
      to: { tag: "schemaDatamodel", files },
      script: true,
      exitCode: true,
      filters: { externalTables: [], externalEnums: [] },
    }),
  );
  return exitCode === 0 ? "" : (stdout ?? "");
}

async function withShadow<T>(work: (shadow: string) => Promise<T>): Promise<T> {
  const server = await openServer();
  const name = `carillon_shadow_${randomBytes(6).toString("hex")}`;
  try {
    return await work(await createDatabase(server.connectionString, name));
  } finally {
    await dropDatabase(server.connectionString, name).finally(() => server.stop());
  }
}

function write(name: string, sql: string): void {
  const folder = new URL(`${name}/`, FOLDER);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL("migration.sql", folder), `${sql.trim()}\n`);
  console.log(`Wrote prisma/migrations/${name}/migration.sql`);
}

async function check(): Promise<void> {
  const missing = await withShadow((shadow) => missingMigration(shadow));
  if (missing === "") return console.log("The migrations lead to schema.prisma.");
  console.error(`The migrations do not lead to schema.prisma. Still to do:\n${missing}`);
  process.exitCode = 1;
}

async function amend(): Promise<void> {
  const earlier = readMigrations();
  const newest = earlier.pop();
  if (newest === undefined) throw new Error("There is no migration to amend.");
  const kept = newest.sql.indexOf(HAND_WRITTEN);
  const generated = await withShadow((shadow) => missingMigration(shadow, earlier));
  write(newest.name, kept < 0 ? generated : `${generated}\n${newest.sql.slice(kept)}`);
}

async function add(name: string): Promise<void> {
  const timestamp = new Date().toISOString().replace(/\D/g, "").slice(0, 14);
  write(`${timestamp}_${name}`, await withShadow((shadow) => missingMigration(shadow)));
}

if (import.meta.main) {
  const [argument = ""] = process.argv.slice(2);
  if (argument === "--check") await check();
  else if (argument === "--amend") await amend();
  else if (/^\w+$/.test(argument)) await add(argument);
  else {
    console.error(USAGE);
    process.exitCode = 2;
  }
}
