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

/** Creates a server that does not listen yet. */
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
  /** The latest request. With TLS, its socket is another object than the connection's. */
  request: IncomingMessage | undefined;
  /** Responses in progress; pipelined requests have several. */
  responses: number;
}

/**
 * Closes one slow connection for each new connection beyond `most`, so that slow and idle clients lock nobody out.
 * It picks the oldest connection that waits for a request or a request body, or whose peer does not read its response.
 */
function makeRoom(server: Server, most: number): void {
  // Oldest first. A connection that becomes idle again moves to the end.
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
    // Deleted now, because other clients may connect before the socket is closed.
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

// With TLS the socket of a request is another object than that of its connection, but the peer is the same.
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
