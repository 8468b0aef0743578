/** Who calls, by their token; and whether the route is for them. */

import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ADMIN, allows, type Caller, type Grant, type Scope } from "../../access/rules/grants.ts";
import { CarillonError } from "../../errors.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Answers without a token. */
    public?: boolean;
    /**
     * Takes the token as an HTTP Basic password too, because a browser can ask for that. For pages that only show
     * documentation: browsers send such a password by themselves, also with a forged request.
     */
    documentation?: boolean;
    /** Callers need this scope, or one of these; a route that is not public names its own. */
    scope?: Scope | readonly Scope[];
  }
  interface FastifyRequest {
    /** Who calls; not set where the route is public. */
    caller: Caller;
  }
}

export interface AuthenticationOptions {
  /** The admin token. */
  token: string;
  /** What any other token allows; unset: there are no others. */
  findGrant?: (token: string) => Promise<Grant | undefined>;
}

/** Sets `request.caller`. Throws `unauthorized`. */
export type Authentication = (request: FastifyRequest, reply: FastifyReply, address: string) => Promise<void>;

/** The check of all routes, unknown ones included: a stranger learns from none of them whether it is there. */
export function createAuthentication({ token, findGrant }: AuthenticationOptions): Authentication {
  const admin: Grant = { id: ADMIN, name: ADMIN, scopes: ["admin"], jobs: [] };
  const expected = digest(token);
  return async (request, reply, address) => {
    const { public: isPublic = false, documentation = false } = request.routeOptions.config;
    if (isPublic) return;
    const given = readCredential(request);
    if (given !== undefined) {
      const grant = timingSafeEqual(digest(given), expected) ? admin : await findGrant?.(given);
      if (grant !== undefined) {
        request.caller = { ...grant, address };
        return;
      }
      // As often as wrong tokens are counted before calls from there are limited.
      request.log.warn({ client: address }, "a token was refused");
    }
    reply.header("www-authenticate", documentation ? ["Bearer", 'Basic realm="carillon"'] : "Bearer");
    const detail =
      given === undefined
        ? "Send the header Authorization: Bearer <token>"
        : "The token is unknown, expired or revoked";
    throw new CarillonError("unauthorized", detail);
  };
}

/**
 * Lets callers in where they have the scope of the route, and nobody where it names none: such an application does
 * not become ready. Throws `forbidden`.
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
    throw new Error(`these routes do not say in their config which scope they need: ${names}`);
  });
  app.addHook("onRequest", async (request) => {
    const { public: isPublic = false, scope = [] } = request.routeOptions.config;
    // What is not there is no secret among callers with a token.
    if (isPublic || request.is404) return;
    const scopes = [scope].flat();
    if (allows(request.caller, ...scopes)) return;
    const wanted = scopes.join(" or ") || ADMIN;
    throw new CarillonError("forbidden", `The token ${request.caller.name} lacks the scope ${wanted}`);
  });
}

/** The token that a request comes with, be it right or wrong. */
export function readCredential({ headers, routeOptions }: FastifyRequest): string | undefined {
  const [, scheme = "", value = ""] = /^(\S+) +(\S+)$/.exec(headers.authorization ?? "") ?? [];
  if (/^bearer$/i.test(scheme)) return value;
  if (routeOptions.config.documentation !== true || !/^basic$/i.test(scheme)) return undefined;
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(value, "base64").toString()) ?? [];
  return password;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
