/** Identifies the caller by token and checks the scopes of the route. */

import { hash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ADMIN, allows, type Caller, type Grant, type Scope } from "../../access/rules/grants.ts";
import { CarillonError } from "../../errors.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The route needs no token. */
    public?: boolean;
    /**
     * The route also accepts the token as an HTTP Basic password, so that a browser can ask for it. Only for pages that
     * show documentation: browsers send such a password on their own, even with a forged request.
     */
    documentation?: boolean;
    /** Callers need one of these scopes. Every route that is not public must set it. */
    scope?: Scope | readonly Scope[];
  }
  interface FastifyRequest {
    /** The caller; not set on public routes. */
    caller: Caller;
  }
}

export interface AuthenticationOptions {
  /** The admin token. */
  token: string;
  /** Returns the grant of any other token; default: there are no other tokens. */
  findGrant?: (token: string) => Promise<Grant | undefined>;
}

/** Sets `request.caller`. Throws `unauthorized` for a missing or wrong token. */
export type Authentication = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** Creates the check for all routes. It covers unknown routes too, so that strangers cannot find out which exist. */
export function createAuthentication({ token, findGrant }: AuthenticationOptions): Authentication {
  const admin: Grant = { id: ADMIN, name: ADMIN, scopes: ["admin"], jobs: [] };
  const expected = digest(token);
  return async (request, reply) => {
    const { public: isPublic = false, documentation = false } = request.routeOptions.config;
    if (isPublic) return;
    const given = readCredential(request);
    const address = request.clientAddress;
    if (given !== undefined) {
      const grant = timingSafeEqual(digest(given), expected) ? admin : await findGrant?.(given);
      if (grant !== undefined) {
        request.caller = { ...grant, address };
        return;
      }
      // At most as many lines as wrong tokens that the call limits allow from one address.
      request.log.warn({ client: address }, "a request had no valid token");
    }
    reply.header("www-authenticate", documentation ? ["Bearer", 'Basic realm="carillon"'] : "Bearer");
    throw new CarillonError(
      "unauthorized",
      given === undefined
        ? "Send the header Authorization: Bearer <token>."
        : "The token is unknown, expired or revoked.",
    );
  };
}

/**
 * Requires the scope of the route. Throws `forbidden` when the caller lacks it. The application does not become ready
 * when a route is neither public nor has a scope.
 */
export function checkScopes(app: FastifyInstance): void {
  const routes: { method: string | string[]; url: string; config?: object }[] = [];
  app.addHook("onRoute", (route) => {
    routes.push(route);
  });
  app.addHook("onReady", async () => {
    const open = routes.filter(({ config = {} }) => !("public" in config) && !("scope" in config));
    if (open.length === 0) return;
    const names = open.map(({ method, url }) => `${method} ${url}`).join(", ");
    throw new Error(`these routes have no scope in their config: ${names}`);
  });
  app.addHook("onRequest", async (request) => {
    const { public: isPublic = false, scope = [] } = request.routeOptions.config;
    // Callers with a token may learn that a route does not exist.
    if (isPublic || request.is404) return;
    const scopes = [scope].flat();
    if (allows(request.caller, ...scopes)) return;
    const wanted = scopes.join(" or ") || ADMIN;
    throw new CarillonError("forbidden", `The token ${request.caller.name} lacks the scope ${wanted}.`);
  });
}

/** Returns the token of a request without checking it; undefined when there is none. */
export function readCredential({ headers, routeOptions }: FastifyRequest): string | undefined {
  const [, scheme = "", value = ""] = /^(\S+) +(\S+)$/.exec(headers.authorization ?? "") ?? [];
  if (/^bearer$/i.test(scheme)) return value;
  if (routeOptions.config.documentation !== true || !/^basic$/i.test(scheme)) return undefined;
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(value, "base64").toString()) ?? [];
  return password;
}

function digest(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
