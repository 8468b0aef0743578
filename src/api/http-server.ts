/** Creates the HTTP server below the application, with its time and connection limits. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Tls } from "./tls.ts";

export interface ServerOptions {
  /** Default: plain HTTP. */
  tls?: Tls | undefined;
  /** Maximum number of open connections; default 1,000. */
  maxConnections?: number | undefined;
  /** The server closes a connection whose peer has read nothing of its response for this long (ms); default 30,000. */
  stallTimeout?: number | undefined;
  /** A connection may be slow for this long (ms) before it makes room for others; default 1,000. */
  graceMs?: number | undefined;
}

/** Times in ms. */
const LIMITS = {
  requestTimeout: 10_000,
  headersTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  // Longer than the usual 60 s of proxies, so that the proxy closes a connection first.
  keepAliveTimeout: 72_000,
  maxHeaderSize: 16 * 1_024,
  // The browser guard refuses a missing Host with a problem document; Node would send an empty body.
  requireHostHeader: false,
};
const HANDSHAKE_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 1_000;
/** The share of the connections that stays free for new requests. */
const SPARE = 0.1;
const STALL_TIMEOUT_MS = 30_000;
/** Longer than a handshake takes, and a burst of new connections on a busy process. */
const GRACE_MS = 1_000;
/** While there are too many connections, the slow ones are looked for this often (ms). */
const LOOK_AGAIN_MS = 100;

/** Creates a server that does not listen yet. */
export function createHttpServer(
  listener: RequestListener,
  {
    tls,
    maxConnections = MAX_CONNECTIONS,
    stallTimeout = STALL_TIMEOUT_MS,
    graceMs = GRACE_MS,
  }: ServerOptions,
): Server {
  const server: Server =
    tls === undefined
      ? createServer(LIMITS, listener)
      : createTlsServer({ ...LIMITS, ...tls, handshakeTimeout: HANDSHAKE_TIMEOUT_MS }, listener);
  // One more, so that the newest connection is there to take the place of a slow one.
  server.maxConnections = maxConnections + 1;
  makeRoom(server, { most: maxConnections, wanted: Math.ceil(maxConnections * (1 - SPARE)), graceMs });
  cutStalled(server, stallTimeout);
  return server;
}

/**
 * Node's timer of a response counts bytes as activity once the kernel accepts them. A client that follows a silent run
 * is idle too, but has no unread bytes, so its connection stays open. A listener on the server instead of the response
 * would also switch off `keepAliveTimeout`.
 */
function cutStalled(server: Server, stallTimeout: number): void {
  server.on("request", ({ socket }, response) => {
    response.setTimeout(stallTimeout, () => {
      if (socket.writableLength > 0) socket.destroy();
    });
  });
}

interface Connection {
  socket: Socket;
  /** When it was opened, its latest request began, or its latest response ended; in monotonic ms. */
  since: number;
  /** The latest request. With TLS, its socket is another object than the connection's. */
  request: IncomingMessage | undefined;
  /** Responses in progress; pipelined requests have several. */
  responses: number;
  /** How many bytes its peer had read when we last looked, and since when (monotonic ms). */
  read: { bytes: number; since: number } | undefined;
}

/**
 * Closes slow connections while there are more than `wanted`, so that slow and idle clients lock nobody out. It picks
 * the oldest that wait for a request or a request body, or whose peer does not read its response, for `graceMs`. In a
 * burst a connection may wait only because we have not read its request yet. Beyond `most` connections it cannot wait.
 */
function makeRoom(
  server: Server,
  { most, wanted, graceMs }: { most: number; wanted: number; graceMs: number },
): void {
  // Oldest first. A connection that becomes idle again moves to the end.
  const connections = new Map<string, Connection>();
  let next: NodeJS.Timeout | undefined;
  const closeSlow = (limit: number, slowForMs: number) => {
    for (const [name, one] of connections) {
      if (connections.size <= limit) return;
      if (!isSlow(one, slowForMs)) continue;
      // Deleted now, because other clients may connect before the socket is closed.
      connections.delete(name);
      one.socket.destroy();
    }
  };
  const closeSlowSoon = () => {
    if (connections.size <= wanted || next !== undefined) return;
    const close = () => {
      next = undefined;
      closeSlow(wanted, graceMs);
      closeSlowSoon();
    };
    // The immediate comes after what has arrived by then has been read.
    next = setTimeout(() => setImmediate(close), Math.min(graceMs, LOOK_AGAIN_MS)).unref();
  };
  server.on("connection", (socket: Socket) => {
    const name = nameOf(socket);
    const since = performance.now();
    const connection: Connection = { socket, since, request: undefined, responses: 0, read: undefined };
    closeSlow(most - 1, 0);
    connections.set(name, connection);
    socket.once("close", () => {
      if (connections.get(name) === connection) connections.delete(name);
    });
    closeSlowSoon();
  });
  server.on("request", (request, response) => {
    const name = nameOf(request.socket);
    const connection = connections.get(name);
    if (connection === undefined) return;
    connection.since = performance.now();
    connection.request = request;
    connection.responses += 1;
    response.once("close", () => {
      connection.responses -= 1;
      if (connection.responses > 0 || connections.get(name) !== connection) return;
      connection.since = performance.now();
      connections.delete(name);
      connections.set(name, connection);
    });
  });
}

function isSlow(connection: Connection, graceMs: number): boolean {
  const { since, request, responses } = connection;
  const now = performance.now();
  if (responses === 0 || request?.complete === false) return now - since >= graceMs;
  const { bytesWritten = 0, writableLength = 0 } = request?.socket ?? {};
  if (writableLength === 0) return false;
  const bytes = bytesWritten - writableLength;
  if (connection.read?.bytes !== bytes) connection.read = { bytes, since: now };
  return now - connection.read.since >= graceMs;
}

// With TLS the socket of a request is another object than that of its connection, but the peer is the same.
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
