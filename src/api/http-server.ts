/** The HTTP server below the application: its limits of time and of connections. */

import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { keepRoom } from "./plugins/connections.ts";
import type { Tls } from "./tls.ts";

export interface ServerOptions {
  /** Unset: plain HTTP. */
  tls?: Tls | undefined;
  /** Open connections at most; default 1,000. */
  maxConnections?: number | undefined;
  /** A peer that takes nothing of its answer for so long, in ms, is cut off; default 30,000. */
  stallTimeout?: number | undefined;
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
/** This part of them may wait for a request while all others are being answered. */
const WAITING = 0.05;
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
  keepRoom(server, {
    most: Math.ceil(maxConnections * (1 - SPARE)),
    waiting: Math.ceil(maxConnections * WAITING),
    stallTimeout,
  });
  return server;
}
