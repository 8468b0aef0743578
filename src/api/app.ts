/** Builds the HTTP application: limits, guards, body parsers, error responses and documentation around the given routes. */

import { randomUUID } from "node:crypto";
import type { RequestListener, Server } from "node:http";
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from "fastify";
import { type FastifyPluginAsyncZod, serializerCompiler } from "fastify-type-provider-zod";
import { CarillonError } from "../errors.ts";
import { createHttpServer, type ServerOptions } from "./http-server.ts";
import {
  type AuthenticationOptions,
  checkScopes,
  createAuthentication,
  readCredential,
} from "./plugins/authentication.ts";
import { acceptBodies } from "./plugins/body-parsers.ts";
import { type BrowserGuardOptions, createBrowserGuard } from "./plugins/browser-guard.ts";
import { type CallLimits, limitCalls } from "./plugins/call-limits.ts";
import { addressOf } from "./plugins/client-address.ts";
import { limitLongAnswers } from "./plugins/long-answers.ts";
import { describeApi } from "./plugins/openapi.ts";
import { type PressureLimits, shedUnderPressure } from "./plugins/pressure.ts";
import { answerError, answerProblems, clientErrorAnswerer } from "./plugins/problems.ts";
import { type SecurityHeaders, securityHeaders } from "./plugins/security-headers.ts";
import { compileValidator } from "./plugins/validation.ts";

const BODY_LIMIT_BYTES = 256 * 1024;
const MAX_PARAM_LENGTH = 512;

export interface AppOptions extends AuthenticationOptions, BrowserGuardOptions, ServerOptions {
  /** Default: no log. */
  logger?: FastifyBaseLogger;
  /** The routes, with their full paths. */
  routes: FastifyPluginAsyncZod;
  /** Whether the client address comes from X-Forwarded-For; default false. */
  behindProxy?: boolean;
  limits?: CallLimits;
  pressure?: PressureLimits;
  /** Returns the server that receives the requests; default: a new server that does not listen yet. */
  serverFactory?: (listener: RequestListener) => Server;
}

/** A check that each request passes before its route. Throws to refuse the request. */
type Gate = (request: FastifyRequest, reply: FastifyReply) => void | Promise<void>;

/** Builds the application; it is ready to listen, and the caller starts it. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const { routes, behindProxy = false } = options;
  const headers = await securityHeaders();
  const gates: Gate[] = [];
  const app = createServer(options, headers, gates);
  app.setValidatorCompiler(compileValidator);
  app.setSerializerCompiler((route) => {
    const serialize = serializerCompiler(route as Parameters<typeof serializerCompiler>[0]);
    // The newline puts the prompt of a terminal on its own line.
    return (answer) => `${serialize(answer)}\n`;
  });
  app.decorateRequest("clientAddress", {
    getter() {
      return addressOf(this, behindProxy);
    },
  });
  const browserGate = browserGateOf(options, headers);
  app.addHook("onRequest", async (request, reply) => browserGate(request, reply));
  await shedUnderPressure(app, options.pressure);
  const loginGate = await loginGateOf(app, options);
  app.addHook("onRequest", loginGate);
  gates.push(browserGate, loginGate);
  checkScopes(app);
  refuseWhenClosing(app);
  limitLongAnswers(app);
  logAnswers(app);
  acceptBodies(app);
  answerProblems(app);
  await describeApi(app);
  await app.register(routes);
  await app.ready();
  return app;
}

function browserGateOf(options: BrowserGuardOptions, headers: SecurityHeaders): Gate {
  const guard = createBrowserGuard(options);
  return (request, reply) => {
    reply.headers(headers);
    guard(request);
  };
}

async function loginGateOf(app: FastifyInstance, options: AppOptions) {
  const { limits, behindProxy = false } = options;
  const authenticate = createAuthentication(options);
  const admit = await limitCalls(app, limits);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const caller = { address: addressOf(request, behindProxy), credential: readCredential(request) };
    await admit(request, reply, caller, () => authenticate(request, reply, caller.address));
  };
}

function refuseWhenClosing(app: FastifyInstance): void {
  let closing = false;
  app.addHook("preClose", async () => {
    closing = true;
  });
  app.addHook("onRequest", async () => {
    if (closing) throw new CarillonError("unavailable", "The service is shutting down");
  });
}

function logAnswers(app: FastifyInstance): void {
  app.addHook("onResponse", async (request, reply) => {
    const { method, routeOptions, clientAddress: client } = request;
    const level = routeOptions.config.public ? "debug" : "info";
    const path = request.url.split("?", 1)[0];
    const ms = Math.round(reply.elapsedTime);
    request.log[level]({ method, path, status: reply.statusCode, ms, client }, "answered");
  });
}

function createServer(
  { logger, tls, maxConnections, stallTimeout, serverFactory }: AppOptions,
  headers: SecurityHeaders,
  gates: readonly Gate[],
): FastifyInstance {
  return Fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    // logAnswers writes one line for each request; Fastify would write two.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    bodyLimit: BODY_LIMIT_BYTES,
    serverFactory: (listener) =>
      serverFactory?.(listener) ?? createHttpServer(listener, { tls, maxConnections, stallTimeout }),
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH, caseSensitive: true },
    // It would also take the host and the scheme from headers: see client-address.ts.
    trustProxy: false,
    // A close waits for the responses in progress.
    forceCloseConnections: "idle",
    // refuseWhenClosing does this, with a problem document.
    return503OnClosing: false,
    clientErrorHandler: clientErrorAnswerer(headers),
    // Fastify runs no hooks for a URL that it cannot decode, so the gates run here.
    frameworkErrors: async (error, request, reply) => {
      try {
        for (const gate of gates) await gate(request, reply);
        answerError(error, request, reply);
      } catch (refusal) {
        answerError(refusal, request, reply);
      }
    },
  });
}
