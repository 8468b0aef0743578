/** Whose call it is: the address of the peer, or behind a proxy the one that the proxy has seen. */

import { isIP } from "node:net";
import type { FastifyRequest } from "fastify";

declare module "fastify" {
  interface FastifyRequest {
    /** The client's IP address. */
    clientAddress: string;
  }
}

/** `192.0.2.1:5678`, `[2001:db8::1]:80` and `[2001:db8::1]` are what some proxies write. */
const WITH_PORT = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/;

/**
 * The IP address of the client. Behind a proxy it is the last one of X-Forwarded-For, which our own proxy has
 * written: those before it are what the client said. Nothing else that a proxy forwards is believed (Fastify's
 * trustProxy would take host and scheme as well).
 */
export function addressOf({ headers, socket }: FastifyRequest, behindProxy: boolean): string {
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
