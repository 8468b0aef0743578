/** Binds the port before anything else starts, and answers 503 until the service is ready. */
import { once } from "node:events";
import type { RequestListener, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CarillonError } from "../errors.ts";
import type { Part } from "../lifecycle.ts";
import { createHttpServer, type ServerOptions } from "./http-server.ts";
import { PROBLEM_TYPE, problemOf } from "./plugins/problems.ts";
import { securityHeaders } from "./plugins/security-headers.ts";

const RETRY_AFTER_S = 1;

/** A server that listens. */
export interface BoundServer extends Part {
  /** The base URL for callers on this machine. */
  url: string;
  /** Gives the server to the application that will handle the requests. */
  serverFactory: (listener: RequestListener) => Server;
  /** Passes requests on to the application from now on. */
  open(): void;
}

/** Listens on an address. Rejects with Node's error when the port is in use or not permitted. */
export async function bindServer(
  address: { host: string; port: number },
  options: ServerOptions,
): Promise<BoundServer> {
  const headers = await securityHeaders();
  const starting: RequestListener = (_request, response) => answerStarting(response, headers);
  let current = starting;
  let application = starting;
  const server = createHttpServer((request, response) => current(request, response), options);
  server.listen(address);
  await once(server, "listening");
  return {
    name: "api",
    stopMs: 2_000,
    url: urlOf(server.address() as AddressInfo, options.tls === undefined ? "http" : "https"),
    serverFactory(listener) {
      application = listener;
      return server;
    },
    open() {
      current = application;
    },
    async stop(deadline) {
      deadline?.addEventListener("abort", () => server.closeAllConnections());
      if (!server.listening) return;
      const closed = once(server, "close");
      // Responses in progress are finished; idle connections are closed at once.
      server.close();
      await closed;
    },
  };
}

function answerStarting(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
  const failure = new CarillonError("unavailable", "The service is starting: try again shortly.");
  response.writeHead(failure.status, {
    ...headers,
    "content-type": PROBLEM_TYPE,
    "retry-after": String(RETRY_AFTER_S),
    connection: "close",
  });
  response.end(`${JSON.stringify(problemOf(failure))}\n`);
}

function urlOf({ address, port, family }: AddressInfo, scheme: string): string {
  // Callers cannot connect to a wildcard address.
  if (address === "0.0.0.0" || address === "::") return `${scheme}://127.0.0.1:${port}`;
  return `${scheme}://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}
