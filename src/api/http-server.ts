/** The HTTP server below the application: its time limits, and room for new connections when many are slow. */
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Tls } from "./tls.ts";

export interface ServerOptions {
  /** Unset: plain HTTP. */
  tls?: Tls | undefined;
  /** Open connections at most; default 1,000. */
  maxConnections?: number;
}

/** Times in ms. */
const LIMITS = {
  requestTimeout: 10_000,
  headersTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  // Longer than proxies keep theirs (mostly 60 s), so that they are the ones to close.
  keepAliveTimeout: 72_000,
  maxHeaderSize: 16 * 1_024,
  // The guard answers a missing Host; Node would do so with an empty body.
  requireHostHeader: false,
};
const HANDSHAKE_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 1_000;
/** This part of the connections is kept free for callers who do send a request. */
const SPARE = 0.1;

/** A server that is not listening yet. */
export function createHttpServer(
  listener: RequestListener,
  { tls, maxConnections = MAX_CONNECTIONS }: ServerOptions,
): Server {
  const server: Server =
    tls === undefined
      ? createServer(LIMITS, listener)
      : createTlsServer({ ...LIMITS, ...tls, handshakeTimeout: HANDSHAKE_TIMEOUT_MS }, listener);
  server.maxConnections = maxConnections;
  keepRoom(server, Math.ceil(maxConnections * (1 - SPARE)));
  return server;
}

/**
 * Closes the connection that has waited longest without a request of its own being answered, once there are more
 * than so many. Who opens hundreds and says nothing, or little at a time, loses them to whoever has a request.
 */
function keepRoom(server: Server, most: number): void {
  const open = new Set<string>();
  const waiting = new Map<string, Socket>();
  server.on("connection", (socket: Socket) => {
    const key = nameOf(socket);
    open.add(key);
    waiting.set(key, socket);
    socket.once("close", () => {
      open.delete(key);
      waiting.delete(key);
    });
    if (open.size > most) waiting.values().next().value?.destroy();
  });
  server.on("request", ({ socket }, response) => {
    const key = nameOf(socket);
    const plain = waiting.get(key);
    waiting.delete(key);
    response.once("close", () => {
      if (plain !== undefined && open.has(key)) waiting.set(key, plain);
    });
  });
}

// With TLS the requests have another socket than the connections, of the same peer.
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
