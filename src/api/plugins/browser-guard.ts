/** Keeps web pages of others out: only our own host names, no foreign origin, no call from another site. */
import type { FastifyRequest } from "fastify";
import { CarillonError } from "../../errors.ts";

export interface BrowserGuardOptions {
  /** Host names, with or without a port, besides those of the loopback address. */
  allowedHosts?: readonly string[];
}

/** Refuses a request by throwing `foreign_host` or `foreign_origin`. */
export type BrowserGuard = (request: FastifyRequest) => void;

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const OWN_SITES: readonly unknown[] = [undefined, "none", "same-origin", "same-site"];
const DEFAULT_PORTS = { http: 80, https: 443 };

/** The guard of all routes and methods, unknown ones included; it comes before the token. */
export function createBrowserGuard({ allowedHosts = [] }: BrowserGuardOptions): BrowserGuard {
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  return (request) => {
    const host = requireOwnHost(request, allowed);
    refuseForeignOrigin(request, host);
    refuseForeignSite(request);
  };
}

// A page that makes its own name point to 127.0.0.1 (DNS rebinding) still sends that name as Host.
function requireOwnHost(request: FastifyRequest, allowed: ReadonlySet<string>): string {
  const [host = "", ...more] = request.raw.headersDistinct["host"] ?? [];
  const name = host.toLowerCase();
  const port = request.socket.localPort;
  const isDefault = port === DEFAULT_PORTS[request.protocol];
  const loopback = LOOPBACK_NAMES.flatMap((own) => (isDefault ? [own, `${own}:${port}`] : `${own}:${port}`));
  const isKnown = (one: string) =>
    loopback.includes(one) || allowed.has(one) || allowed.has(one.replace(/:\d+$/, ""));
  // Where the request line has a whole URL, its host is the one that is meant (RFC 9112, 3.2.2).
  const target = URL.parse(request.url)?.host ?? name;
  if (isKnown(name) && isKnown(target) && more.length === 0) return name;
  throw new CarillonError(
    "foreign_host",
    `The Host header must be one of ${loopback.join(", ")} or one that ALLOWED_HOSTS names`,
  );
}

function refuseForeignOrigin({ headers: { origin }, protocol }: FastifyRequest, host: string): void {
  // Without TLS of our own a proxy may have it, and then pages come by https.
  const schemes = protocol === "https" ? ["https"] : ["http", "https"];
  const own = schemes.map((scheme) => URL.parse(`${scheme}://${host}`)?.origin);
  if (origin === undefined || own.includes(origin)) return;
  throw foreignOrigin();
}

function refuseForeignSite(request: FastifyRequest): void {
  if (OWN_SITES.includes(request.headers["sec-fetch-site"]) || isFollowedLink(request)) return;
  throw foreignOrigin();
}

// Who follows a link to the documentation sees it; the page with the link learns nothing, and nothing changes.
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
  return new CarillonError("foreign_origin", "Pages of other web sites may not call this service");
}
