/** Sends the security headers of helmet with every response. */
import helmet, { type FastifyHelmetOptions } from "@fastify/helmet";
import Fastify, { type FastifyInstance } from "fastify";

export type SecurityHeaders = Readonly<Record<string, string>>;

const SELF = ["'self'"];
const NONE = ["'none'"];

const OPTIONS: FastifyHelmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      "default-src": NONE,
      "script-src": SELF,
      "style-src": SELF,
      "img-src": [...SELF, "data:"],
      "connect-src": SELF,
      "base-uri": NONE,
      "form-action": NONE,
      "frame-ancestors": NONE,
    },
  },
  xFrameOptions: { action: "deny" },
  // HSTS would cover every port of the host name. With TLS configured, this port does not serve plain HTTP anyway.
  strictTransportSecurity: false,
};

/**
 * Returns the headers, read once from a temporary application with helmet. Fastify calls no plugin for requests that the
 * HTTP parser refuses, and their responses need the same headers.
 */
export async function securityHeaders(): Promise<SecurityHeaders> {
  const scratch = Fastify();
  await scratch.register(helmet, OPTIONS);
  scratch.get("/", async (_request, reply) => reply.raw.getHeaders());
  const answer = await scratch.inject("/");
  await scratch.close();
  return { ...answer.json<SecurityHeaders>(), "cache-control": "no-store" };
}

/** Adds the headers to the response of every request that Fastify receives. */
export function sendSecurityHeaders(app: FastifyInstance, headers: SecurityHeaders): void {
  app.addHook("onRequest", async (_request, reply) => {
    reply.headers(headers);
  });
}
