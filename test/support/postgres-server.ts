/** Finds a Postgres server to work on beside its databases: the one of DATABASE_URL, else an embedded one. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../../src/postgres/embedded/embedded-postgres.ts";
import { migrationConfig } from "../../src/postgres/session.ts";

/** A server; `connectionString` names a database that one may connect to and must not write to. */
export interface PostgresServer {
  connectionString: string;
  stop(): Promise<void>;
}

/** Opens the server of DATABASE_URL, which `stop` leaves alone, or starts one that `stop` removes. */
export async function openServer(): Promise<PostgresServer> {
  const connectionString = process.env["DATABASE_URL"];
  if (connectionString) return { connectionString, stop: async () => undefined };
  return startServer();
}

/** Starts an embedded server that nothing else works on; `stop` removes it with its data. */
export async function startServer(): Promise<PostgresServer> {
  const dataDir = await mkdtemp(path.join(tmpdir(), "carillon-postgres-"));
  const embedded = await startEmbeddedPostgres({ dataDir });
  return {
    connectionString: embedded.connectionString,
    async stop() {
      await embedded.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/**
 * Creates a database.
 *
 * @param template a database that accepts no connections: copying one that is in use is refused by Postgres
 * @returns its connection string
 */
export async function createDatabase(server: string, name: string, template = "template0"): Promise<string> {
  await execute(server, `CREATE DATABASE "${name}" TEMPLATE "${template}"`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

/** Drops a database, if it is still there, and ends the sessions on it. */
export async function dropDatabase(server: string, name: string): Promise<void> {
  await execute(server, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
}

/** Runs statements in a session of their own and returns the rows of a single one. */
export async function execute(connectionString: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(migrationConfig(connectionString));
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
