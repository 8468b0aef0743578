/** Opens the Postgres servers that benchmarks measure on, and databases on them that are dropped at the end. */
import pg from "pg";
import { migrationConfig } from "../src/postgres/session.ts";
import { createDatabase, dropDatabase, openServer, startServer } from "../test/support/postgres-server.ts";
import type { Bench } from "./benchmark.ts";

/** A server that runs. */
export interface Server {
  /** For the rows of a table. */
  name: string;
  connectionString: string;
}

/** A database of its own. */
export interface BenchDatabase {
  connectionString: string;
  /** A session on it. */
  session: pg.Client;
}

/** Opens the server of DATABASE_URL, or an embedded one where there is none. */
export async function openOneServer({ stack }: Bench): Promise<Server> {
  const { connectionString, stop } = await openServer();
  stack.defer(stop);
  return { name: process.env["DATABASE_URL"] ? OUTSIDE : EMBEDDED, connectionString };
}

/** Opens an embedded server, and the one of DATABASE_URL as well where it is set. */
export async function openAllServers(bench: Bench): Promise<Server[]> {
  const embedded = await startServer();
  bench.stack.defer(embedded.stop);
  const servers = [{ name: EMBEDDED, connectionString: embedded.connectionString }];
  if (process.env["DATABASE_URL"]) servers.push(await openOneServer(bench));
  else bench.note("Not measured on an outside Postgres: set DATABASE_URL.");
  return servers;
}

const EMBEDDED = "embedded Postgres";
const OUTSIDE = "outside Postgres";
let databases = 0;

/** Creates an empty database and connects to it. It is dropped at the end. */
export async function openDatabase({ stack }: Bench, { connectionString }: Server): Promise<BenchDatabase> {
  const name = `carillon_bench_${process.pid}_${databases++}`;
  const own = await createDatabase(connectionString, name);
  stack.defer(() => dropDatabase(connectionString, name));
  return { connectionString: own, session: await openSession(stack, own) };
}

/** Connects to a database until the end of the benchmark. */
export async function openSession(stack: AsyncDisposableStack, connectionString: string): Promise<pg.Client> {
  const { options } = migrationConfig(connectionString);
  const session = new pg.Client({ connectionString, options });
  // The server ends the sessions of a database that is dropped.
  session.on("error", () => undefined);
  await session.connect();
  stack.defer(() => session.end());
  return session;
}

/** Runs a query that returns one row. */
export async function readRow<T>(session: pg.Client, sql: string, values: unknown[] = []): Promise<T> {
  const { rows } = await session.query(sql, values);
  if (rows[0] === undefined) throw new Error(`no row: ${sql}`);
  return rows[0] as T;
}
