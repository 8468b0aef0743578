/** Who may call: only our own host name, no foreign web site, and nobody without the token. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { CarillonError } from "../core/errors.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Answers without a token. */
    public?: boolean;
    /** Takes the token as an HTTP Basic password too, because a browser can ask for that. */
    documentation?: boolean;
  }
}

export interface GuardOptions {
  token: string;
  /** Host names, with or without a port, besides those of the loopback address. */
  allowedHosts?: readonly string[];
}

/** Refuses a request by throwing; puts the security headers on its answer first. */
export type Guard = (request: FastifyRequest, reply: FastifyReply) => void;

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const OWN_SITES: readonly unknown[] = [undefined, "none", "same-origin", "same-site"];

export const SECURITY_HEADERS = {
  "cache-control": "no-store",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
} as const;

/** The guard of all routes, unknown ones included. Throws `foreign_host`, `foreign_origin`, `unauthorized`. */
export function createGuard({ token, allowedHosts = [] }: GuardOptions): Guard {
  const expected = digest(token);
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  return (request, reply) => {
    reply.headers(SECURITY_HEADERS);
    const host = requireOwnHost(request, allowed);
    refuseForeignOrigin(request, host);
    const { public: isPublic = false, documentation = false } = request.routeOptions.config;
    if (isPublic) return;
    const given = credential(request.headers.authorization, documentation);
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return;
    reply.header("www-authenticate", documentation ? ["Bearer", 'Basic realm="carillon"'] : "Bearer");
    const detail =
      given === undefined ? "Send the header Authorization: Bearer <token>" : "The token is wrong";
    throw new CarillonError("unauthorized", detail);
  };
}

// A page that makes its own name point to 127.0.0.1 (DNS rebinding) still sends that name as Host.
function requireOwnHost(request: FastifyRequest, allowed: ReadonlySet<string>): string {
  const [host = "", ...more] = request.raw.headersDistinct["host"] ?? [];
  const name = host.toLowerCase();
  const port = request.socket.localPort;
  const loopback = LOOPBACK_NAMES.flatMap((own) => (port === 80 ? [own, `${own}:80`] : `${own}:${port}`));
  const isKnown = (one: string) =>
    loopback.includes(one) || allowed.has(one) || allowed.has(one.replace(/:\d+$/, ""));
  // Where the request line has a whole URL, its host is the one that is meant (RFC 9112, 3.2.2).
  const target = URL.parse(request.url)?.host ?? name;
  if (isKnown(name) && isKnown(target) && more.length === 0) return name;
  throw new CarillonError(
    "foreign_host",
    `The Host header must be one of ${loopback.join(", ")} or an allowed host`,
  );
}

function refuseForeignOrigin({ headers }: FastifyRequest, host: string): void {
  const { origin, "sec-fetch-site": site } = headers;
  const own = ["http", "https"].map((scheme) => URL.parse(`${scheme}://${host}`)?.origin);
  if ((origin === undefined || own.includes(origin)) && OWN_SITES.includes(site)) return;
  throw new CarillonError("foreign_origin", "Pages of other web sites may not call this service");
}

function credential(header = "", acceptBasic: boolean): string | undefined {
  const [, scheme = "", value = ""] = /^(\S+) +(\S+)$/.exec(header) ?? [];
  if (/^bearer$/i.test(scheme)) return value;
  if (!acceptBasic || !/^basic$/i.test(scheme)) return undefined;
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(value, "base64").toString()) ?? [];
  return password;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
