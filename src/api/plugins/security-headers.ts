/** The security headers of every answer, as helmet makes them. */
import helmet, { type FastifyHelmetOptions } from "@fastify/helmet";
import Fastify from "fastify";

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
  // It would hold for every port of the host name, and nothing is answered here without TLS where there is TLS.
  strictTransportSecurity: false,
};

/**
 * Asks helmet once, in an application made for that: what the HTTP parser refuses, and URLs that cannot be decoded,
 * are answered where no plugin is called, and want the same headers.
 */
export async function securityHeaders(): Promise<SecurityHeaders> {
  const scratch = Fastify();
  await scratch.register(helmet, OPTIONS);
  scratch.get("/", async (_request, reply) => reply.raw.getHeaders());
  const answer = await scratch.inject("/");
  await scratch.close();
  return { ...answer.json<SecurityHeaders>(), "cache-control": "no-store" };
}
