/** Finds the IP address of the client, which behind a proxy comes from X-Forwarded-For. */

import { isIP } from "node:net";
import type { FastifyInstance, FastifyRequest } from "fastify";

declare module "fastify" {
  interface FastifyRequest {
    /** The client's IP address. */
    clientAddress: string;
  }
}

export interface ClientAddressOptions {
  /** Whether the client address comes from X-Forwarded-For; default false. */
  behindProxy?: boolean;
}

/** Some proxies write `192.0.2.1:5678`, `[2001:db8::1]:80` or `[2001:db8::1]`. */
const WITH_PORT = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/;

/**
 * Sets `request.clientAddress`. Behind a proxy it is the last address of X-Forwarded-For: our own proxy wrote
 * that one, and the client may have written those before it. No other forwarded header is trusted; Fastify's
 * trustProxy would also take the host and the scheme.
 */
export function identifyClients(app: FastifyInstance, { behindProxy = false }: ClientAddressOptions): void {
  app.decorateRequest("clientAddress", {
    getter() {
      return addressOf(this, behindProxy);
    },
  });
}

function addressOf({ headers, socket }: FastifyRequest, behindProxy: boolean): string {
  const peer = socket.remoteAddress ?? "unknown";
  if (!behindProxy) return peer;
  const last =
    String(headers["x-forwarded-for"] ?? "")
      .split(",")
      .at(-1)
      ?.trim() ?? "";
  const address = withoutPort(last);
  return isIP(address) === 0 ? peer : address;
}

function withoutPort(text: string): string {
  const [, bracketed, plain] = WITH_PORT.exec(text) ?? [];
  return bracketed ?? plain ?? text;
}
