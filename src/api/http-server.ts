/** The HTTP server below the application: its limits of time and of connections. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Tls } from "./tls.ts";

export interface ServerOptions {
  /** Unset: plain HTTP. */
  tls?: Tls | undefined;
  /** Open connections at most; default 1,000. */
  maxConnections?: number | undefined;
  /** A peer that takes nothing of its response for so long, in ms, is cut off; default 30,000. */
  stallTimeout?: number | undefined;
}

/** Times in ms. */
const LIMITS = {
  requestTimeout: 10_000,
  headersTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  // Longer than proxies keep theirs (mostly 60 s), so that the proxy closes a connection first.
  keepAliveTimeout: 72_000,
  maxHeaderSize: 16 * 1_024,
  // The guard refuses a missing Host with a problem; Node would do so with an empty body.
  requireHostHeader: false,
};
const HANDSHAKE_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 1_000;
/** This part of the connections is kept free for callers who send a request. */
const SPARE = 0.1;
const STALL_TIMEOUT_MS = 30_000;

/** A server that is not listening yet. */
export function createHttpServer(
  listener: RequestListener,
  { tls, maxConnections = MAX_CONNECTIONS, stallTimeout = STALL_TIMEOUT_MS }: ServerOptions,
): Server {
  const server: Server =
    tls === undefined
      ? createServer(LIMITS, listener)
      : createTlsServer({ ...LIMITS, ...tls, handshakeTimeout: HANDSHAKE_TIMEOUT_MS }, listener);
  server.maxConnections = maxConnections;
  makeRoom(server, Math.ceil(maxConnections * (1 - SPARE)));
  // Node's timer counts bytes that the kernel takes as activity. A follower of a silent run has nothing left to take.
  server.setTimeout(stallTimeout, (socket) => {
    if (socket.writableLength > 0) socket.destroy();
  });
  return server;
}

interface Connection {
  socket: Socket;
  /** The latest request that is being answered, and where: with TLS not the same socket. */
  request: IncomingMessage | undefined;
  /** Responses under way: pipelined requests have several. */
  responses: number;
}

/**
 * Closes one connection for each new one beyond `most`: the oldest that waits for a request or for the rest of its body,
 * or whose peer does not take its response. So slow and idle connections lock nobody out.
 */
function makeRoom(server: Server, most: number): void {
  // Oldest first; one that begins to wait again becomes the newest.
  const connections = new Map<string, Connection>();
  server.on("connection", (socket: Socket) => {
    const name = nameOf(socket);
    const connection = { socket, request: undefined, responses: 0 };
    connections.set(name, connection);
    socket.once("close", () => {
      if (connections.get(name) === connection) connections.delete(name);
    });
    if (connections.size <= most) return;
    const [oldest, one] = [...connections].find(([, each]) => isSlow(each)) ?? [];
    if (oldest === undefined) return;
    // At once, since others may connect before it is closed.
    connections.delete(oldest);
    one?.socket.destroy();
  });
  server.on("request", (request, response) => {
    const name = nameOf(request.socket);
    const connection = connections.get(name);
    if (connection === undefined) return;
    connection.request = request;
    connection.responses += 1;
    response.once("close", () => {
      connection.responses -= 1;
      if (connection.responses > 0 || connections.get(name) !== connection) return;
      connections.delete(name);
      connections.set(name, connection);
    });
  });
}

function isSlow({ request, responses }: Connection): boolean {
  return responses === 0 || request?.complete === false || (request?.socket.writableLength ?? 0) > 0;
}

// With TLS a request has another socket than its connection, of the same peer.
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
