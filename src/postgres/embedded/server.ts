/** Runs the server of the embedded Postgres. */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { OperatorError } from "../../errors.ts";
import { sessionConfig } from "../session.ts";
import { NAME, readPidFile } from "./cluster.ts";
import { type Account, startProgram } from "./program.ts";
import { PORT } from "./socket-folder.ts";

const POLL_MS = 10;
const LAST_WORDS = 10;
const STATUS_LINE = 7;

/** What to start, and where. */
export interface ServerOptions {
  account: Account;
  postgres: string;
  cluster: string;
  socketFolder: string;
  /** The process id in postmaster.pid that is no server's. */
  stalePid: number | undefined;
  onLog: (line: string) => void;
}

/** A server that was started; it may not take connections yet. */
export interface Server {
  pid: number | undefined;
  /** Asks for a fast shutdown: sessions are ended, the data is written. */
  interrupt(): void;
  /** Resolves when the process is gone, with an error that says how, and the last it said. */
  gone: Promise<Error>;
}

/** Starts the server without waiting for it. */
export function startServer(options: ServerOptions): Server {
  const settings = {
    unix_socket_directories: `"${options.socketFolder}"`,
    unix_socket_permissions: "0700",
    listen_addresses: "",
    port: PORT,
    fsync: "on",
    TimeZone: "UTC",
    log_timezone: "UTC",
    log_line_prefix: "",
  };
  const args = [
    "-D",
    options.cluster,
    ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]),
  ];
  // Postgres does not start while the id in postmaster.pid is somebody's, whoever that is; but its parent's parent,
  // for which it takes this, does not count. To remove the file would also lift its guard against its own old children.
  const env = options.stalePid === undefined ? {} : { PG_GRANDPARENT_PID: String(options.stalePid) };
  const child = startProgram(options.account, options.postgres, args, env);

  const lastWords: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    options.onLog(line);
    lastWords.push(line);
    if (lastWords.length > LAST_WORDS) lastWords.shift();
  });
  const describe = (how: unknown): Error =>
    new OperatorError([`The embedded Postgres ended (${how})`, ...lastWords].join("\n"));
  const gone = once(child, "close").then(
    ([code, signal]) => describe(signal ?? `exit code ${code}`),
    describe,
  );
  return { pid: child.pid, interrupt: () => child.kill("SIGINT"), gone };
}

/** The address of a database of the server, in a form that libpq and node-postgres agree on. */
export function connectionString(socketFolder: string, database: string): string {
  // Without port and sslmode, PGPORT and PGSSLMODE of the service's environment would decide.
  const host = encodeURIComponent(socketFolder);
  return `postgresql://${NAME}@localhost/${database}?host=${host}&port=${PORT}&sslmode=disable`;
}

/**
 * Waits until the server takes connections, for as long as a recovery takes.
 *
 * @throws if the server ends before
 */
export async function untilReady(server: Server, cluster: string): Promise<void> {
  const ended = server.gone.then((error) => Promise.reject(error));
  while (!(await Promise.race([isReady(server, cluster), ended]))) await delay(POLL_MS);
}

/** Reads it from postmaster.pid, as pg_ctl does: attempts to connect would fill the log with refusals. */
async function isReady({ pid }: Server, cluster: string): Promise<boolean> {
  const lines = (await readPidFile(cluster)) ?? [];
  return lines[0] === String(pid) && lines[STATUS_LINE]?.trim() === "ready";
}

/** Creates the database, if it is not there, on a server that is ready. */
export async function ensureDatabase(socketFolder: string): Promise<void> {
  const client = new pg.Client(sessionConfig(connectionString(socketFolder, "postgres")));
  try {
    await client.connect();
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [NAME]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${NAME}`);
  } finally {
    await client.end();
  }
}
