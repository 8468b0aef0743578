/** Starts the server process of the embedded Postgres, waits until it is ready, and creates the database. */
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
/** How many log lines the error of an exit quotes. */
const LAST_LINES = 10;
/** The line of postmaster.pid that holds the server's status, counted from 0. */
const STATUS_LINE = 7;

/** Options of `startServer`; `postgres` is the path of the program. */
export interface ServerOptions {
  account: Account;
  postgres: string;
  cluster: string;
  socketFolder: string;
  /** Settings that say who may connect. */
  access: Readonly<Record<string, string>>;
  /** The process id in a leftover postmaster.pid, which belongs to no server. */
  stalePid: number | undefined;
  onLog: (line: string) => void;
}

/** A server process, which may not accept connections yet. */
export interface Server {
  pid: number | undefined;
  /** Requests a fast shutdown: the server ends its sessions and writes its data. */
  interrupt(): void;
  /** Resolves when the process has exited, with an error that names the exit code and quotes the last log lines. */
  exited: Promise<Error>;
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
    ...options.access,
  };
  const args = [
    "-D",
    options.cluster,
    ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]),
  ];
  // Postgres refuses to start while any process has the id in postmaster.pid. It makes an exception for its own
  // grandparent, so the stale id is passed off as that. Removing the file instead would disable Postgres' check for
  // surviving children of the old server.
  const env = options.stalePid === undefined ? {} : { PG_GRANDPARENT_PID: String(options.stalePid) };
  const child = startProgram(options.account, options.postgres, args, env);

  const lastLines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    options.onLog(line);
    lastLines.push(line);
    if (lastLines.length > LAST_LINES) lastLines.shift();
  });
  const describe = (how: unknown): Error =>
    new OperatorError([`The embedded Postgres ended (${how})`, ...lastLines].join("\n"));
  const exited = once(child, "close").then(
    ([code, signal]) => describe(signal ?? `exit code ${code}`),
    describe,
  );
  return { pid: child.pid, interrupt: () => child.kill("SIGINT"), exited };
}

/** Returns the address of a database of the server, in a form that both libpq and node-postgres read. */
export function connectionString(socketFolder: string, database: string): string {
  // The port and sslmode are explicit, so that PGPORT and PGSSLMODE in the service's environment have no effect.
  const host = encodeURIComponent(socketFolder);
  return `postgresql://${NAME}@localhost/${database}?host=${host}&port=${PORT}&sslmode=disable`;
}

/**
 * Waits until the server accepts connections. There is no time limit: a crash recovery may take long.
 *
 * @throws OperatorError when the server exits first
 */
export async function waitUntilReady(server: Server, cluster: string): Promise<void> {
  const exited = server.exited.then((error) => Promise.reject(error));
  while (!(await Promise.race([isReady(server, cluster), exited]))) await delay(POLL_MS);
}

/** Reads the status from postmaster.pid, as pg_ctl does. Trying to connect would fill the log with refusals. */
async function isReady({ pid }: Server, cluster: string): Promise<boolean> {
  const lines = (await readPidFile(cluster)) ?? [];
  return lines[0] === String(pid) && lines[STATUS_LINE]?.trim() === "ready";
}

/** Creates the database when it does not exist. The server must be ready. */
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
