/** How every session on the database is opened: in UTC, and with a limit on everything that may hang. */
import { Socket } from "node:net";
import { OperatorError } from "../errors.ts";

/**
 * Limits that Postgres itself keeps. Without them a node that stops inside a transaction blocks all others, and the
 * locks of one that vanished from the network stay for two hours.
 */
const SERVER_SETTINGS: Readonly<Record<string, string>> = {
  // The driver adapter sends times without an offset: they are right only where the session's zone is UTC.
  TimeZone: "UTC",
  idle_in_transaction_session_timeout: "10s",
  lock_timeout: "10s",
  statement_timeout: "12s",
  // The server gives up a connection whose client is silent, after 10 s plus 3 probes; ignored on a unix socket.
  tcp_keepalives_idle: "10",
  tcp_keepalives_interval: "5",
  tcp_keepalives_count: "3",
};

/** Migrations may take long, and wait for another node that migrates. */
const UNLIMITED = ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"];

/** In ms. */
const CONNECT_MS = 5_000;
const KEEP_ALIVE_AFTER_MS = 10_000;
/** Longer than `statement_timeout`, so that a slow statement ends with Postgres' own error. */
const SILENCE_MS = 15_000;
const MIGRATION_SILENCE_MS = 15 * 60_000;

/** What `pg` is given for one connection, or for each of a pool. */
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
 * The settings of one connection, or of a pool's.
 * @param silenceMs the connection is closed when the server sends nothing for so long. A network that forgets a
 *   connection reports nothing: the kernel would resend for a quarter of an hour, and a driver that only gives up the
 *   query would put the dead connection back into its pool.
 */
export function sessionConfig(connectionString: string, silenceMs = SILENCE_MS): SessionConfig {
  return config(connectionString, SERVER_SETTINGS, silenceMs);
}

/** The settings of the connection that migrates: it may work and wait for minutes. */
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
    // A pool closes a connection that nobody uses before its silence would be taken for an error.
    idleTimeoutMillis: silenceMs / 2,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    stream: () => limitedSocket(silenceMs),
  };
}

/** A socket that closes itself, with the error ETIMEDOUT, when nothing has passed for a while. */
function limitedSocket(silenceMs: number): Socket {
  const socket = new Socket();
  return socket.setTimeout(silenceMs, () => {
    const error = new Error(`the database has been silent for ${silenceMs / 1_000} s`);
    socket.destroy(Object.assign(error, { code: "ETIMEDOUT" }));
  });
}

/** Throws an OperatorError that names DATABASE_URL, and never its password, when `make` cannot read it. */
export function readingUrl<Made>(make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // The parser's own messages name no value, but those of files do: sslrootcert, sslcert and sslkey.
    const why = code === "ENOENT" || code === "EACCES" ? message : "it is not a valid connection URL";
    throw new OperatorError(`DATABASE_URL cannot be used: ${why}.`, { cause: error });
  }
}
