/** The settings of every database session: UTC, and a time limit on every operation that may hang. */
import { Socket } from "node:net";
import { OperatorError } from "../errors.ts";

/**
 * Limits that the server enforces. Without them a node that freezes inside a transaction blocks all other nodes, and
 * the locks of a node that vanished from the network stay for two hours.
 */
const SERVER_SETTINGS: Readonly<Record<string, string>> = {
  // The driver adapter sends times without an offset, so they are correct only in a UTC session.
  TimeZone: "UTC",
  idle_in_transaction_session_timeout: "10s",
  lock_timeout: "10s",
  statement_timeout: "12s",
  // The server closes a connection whose client is silent for 10 s and misses 3 probes. Unix sockets ignore this.
  tcp_keepalives_idle: "10",
  tcp_keepalives_interval: "5",
  tcp_keepalives_count: "3",
};

/** Limits that do not apply to migrations: they may take long, and may wait for another node's migrations. */
const UNLIMITED = ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"];

const CONNECT_MS = 5_000;
const KEEP_ALIVE_AFTER_MS = 10_000;
/** Longer than `statement_timeout`, so that a slow statement ends with Postgres' own error. */
const SILENCE_MS = 15_000;
const MIGRATION_SILENCE_MS = 15 * 60_000;

/** Options of `pg` for a client or a pool. */
export interface SessionConfig {
  connectionString: string;
  options: string;
  connectionTimeoutMillis: number;
  idleTimeoutMillis: number;
  keepAlive: true;
  keepAliveInitialDelayMillis: number;
  stream: () => Socket;
}

/**
 * Returns the options of a client or of a pool.
 * @param silenceMs a connection without traffic for this long (ms) is closed. When a network drops a connection
 *   silently, the kernel resends for a quarter of an hour. A query timeout of the driver would not help: it puts the
 *   dead connection back into the pool.
 */
export function sessionConfig(connectionString: string, silenceMs = SILENCE_MS): SessionConfig {
  return config(connectionString, SERVER_SETTINGS, silenceMs);
}

/** Returns the options of the client that applies migrations, which may work and wait for minutes. */
export function migrationConfig(connectionString: string): SessionConfig {
  const settings = Object.entries(SERVER_SETTINGS).filter(([name]) => !UNLIMITED.includes(name));
  return config(connectionString, Object.fromEntries(settings), MIGRATION_SILENCE_MS);
}

function config(
  connectionString: string,
  settings: Readonly<Record<string, string>>,
  silenceMs: number,
): SessionConfig {
  return {
    connectionString,
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(" "),
    connectionTimeoutMillis: CONNECT_MS,
    // The pool closes an unused connection before its silence would count as an error.
    idleTimeoutMillis: silenceMs / 2,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    stream: () => limitedSocket(silenceMs),
  };
}

/** Returns a socket that closes itself with the error ETIMEDOUT after `silenceMs` without traffic. */
function limitedSocket(silenceMs: number): Socket {
  const socket = new Socket();
  return socket.setTimeout(silenceMs, () => {
    const error = new Error(`the database has been silent for ${silenceMs / 1_000} s`);
    socket.destroy(Object.assign(error, { code: "ETIMEDOUT" }));
  });
}

/**
 * Creates a client or a pool from DATABASE_URL.
 * @throws OperatorError that names DATABASE_URL but not its password, when `create` cannot read the URL
 */
export function withReadableUrl<T>(create: () => T): T {
  try {
    return create();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // A file error may be shown: it names only the file of sslrootcert, sslcert or sslkey. A parser's error may not.
    const why = code === "ENOENT" || code === "EACCES" ? message : "it is not a valid connection URL";
    throw new OperatorError(`DATABASE_URL cannot be used: ${why}.`, { cause: error });
  }
}
