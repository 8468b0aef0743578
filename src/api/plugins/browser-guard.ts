/** Refuses requests from foreign web pages: by host name, origin and fetch metadata. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { CarillonError } from "../../errors.ts";

export interface BrowserGuardOptions {
  /** Allowed host names, with or without a port, in addition to the loopback names. */
  allowedHosts?: readonly string[];
}

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const OWN_SITES: readonly unknown[] = [undefined, "none", "same-origin", "same-site"];
const DEFAULT_PORTS = { http: 80, https: 443 };

/** Answers 403 `foreign_host` or `foreign_origin` on all routes, unknown ones included. Runs before the token check. */
export function guardBrowsers(app: FastifyInstance, { allowedHosts = [] }: BrowserGuardOptions): void {
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  app.addHook("onRequest", async (request) => {
    const host = requireOwnHost(request, allowed);
    refuseForeignOrigin(request, host);
    refuseForeignSite(request);
  });
}

// A page whose host name resolves to 127.0.0.1 (DNS rebinding) still sends that name as Host.
function requireOwnHost(request: FastifyRequest, allowed: ReadonlySet<string>): string {
  const [host = "", ...more] = request.raw.headersDistinct["host"] ?? [];
  const name = host.toLowerCase();
  const port = request.socket.localPort;
  const isDefault = port === DEFAULT_PORTS[request.protocol];
  const loopback = LOOPBACK_NAMES.flatMap((own) => (isDefault ? [own, `${own}:${port}`] : `${own}:${port}`));
  const isKnown = (one: string) =>
    loopback.includes(one) || allowed.has(one) || allowed.has(one.replace(/:\d+$/, ""));
  // A host in the request line takes precedence over the Host header (RFC 9112, 3.2.2).
  const isPath = request.originalUrl.startsWith("/");
  const target = (isPath ? null : URL.parse(request.originalUrl))?.host ?? name;
  if (isKnown(name) && isKnown(target) && more.length === 0) return name;
  throw new CarillonError(
    "foreign_host",
    `The Host header must be one of ${loopback.join(", ")}, or a name in ALLOWED_HOSTS.`,
  );
}

function refuseForeignOrigin({ headers: { origin }, protocol }: FastifyRequest, host: string): void {
  if (origin === undefined) return;
  // A proxy in front of plain HTTP may terminate TLS; then the origin of our own pages is https.
  const schemes = protocol === "https" ? ["https"] : ["http", "https"];
  const own = schemes.map((scheme) => URL.parse(`${scheme}://${host}`)?.origin);
  if (own.includes(origin)) return;
  throw foreignOrigin();
}

function refuseForeignSite(request: FastifyRequest): void {
  if (OWN_SITES.includes(request.headers["sec-fetch-site"]) || isFollowedLink(request)) return;
  throw foreignOrigin();
}

// A link from another site to the documentation works: the linking page learns nothing, and nothing changes.
function isFollowedLink({ headers, method, routeOptions }: FastifyRequest): boolean {
  return (
    method === "GET" &&
    routeOptions.config.documentation === true &&
    headers["sec-fetch-site"] === "cross-site" &&
    headers["sec-fetch-mode"] === "navigate" &&
    headers["sec-fetch-dest"] === "document"
  );
}

function foreignOrigin(): CarillonError {
  return new CarillonError("foreign_origin", "Pages of other web sites may not call this service.");
}
