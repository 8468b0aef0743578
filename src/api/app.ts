/** Builds the HTTP application: limits, guards, body parsers, error responses and documentation around the given routes. */

import { randomUUID } from "node:crypto";
import type { RequestListener, Server } from "node:http";
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from "fastify";
import { type FastifyPluginAsyncZod, serializerCompiler } from "fastify-type-provider-zod";
import { CarillonError } from "../errors.ts";
import { createHttpServer, type ServerOptions } from "./http-server.ts";
import { type AuthenticationOptions, checkScopes, createAuthentication } from "./plugins/authentication.ts";
import { acceptBodies } from "./plugins/body-parsers.ts";
import { type BrowserGuardOptions, guardBrowsers } from "./plugins/browser-guard.ts";
import { type CallLimits, limitCalls } from "./plugins/call-limits.ts";
import { type ClientAddressOptions, identifyClients } from "./plugins/client-address.ts";
import { limitLongAnswers } from "./plugins/long-answers.ts";
import { describeApi } from "./plugins/openapi.ts";
import { type PressureLimits, shedUnderPressure } from "./plugins/pressure.ts";
import { answerProblems, answerUnroutable, clientErrorAnswerer } from "./plugins/problems.ts";
import { type SecurityHeaders, securityHeaders, sendSecurityHeaders } from "./plugins/security-headers.ts";
import { compileValidator } from "./plugins/validation.ts";

const BODY_LIMIT_BYTES = 256 * 1024;
const MAX_PARAM_LENGTH = 512;

export interface AppOptions
  extends AuthenticationOptions,
    BrowserGuardOptions,
    ClientAddressOptions,
    ServerOptions {
  /** Default: no log. */
  logger?: FastifyBaseLogger;
  /** The routes, with their full paths. */
  routes: FastifyPluginAsyncZod;
  limits?: CallLimits;
  pressure?: PressureLimits;
  /** Returns the server that receives the requests; default: a new server that does not listen yet. */
  serverFactory?: (listener: RequestListener) => Server;
}

/** Builds the application; it is ready to listen, and the caller starts it. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const headers = await securityHeaders();
  const app = createServer(options, headers);
  app.setValidatorCompiler(compileValidator);
  endWithNewline(app);
  // The guards, in the order in which a request passes them.
  identifyClients(app, options);
  sendSecurityHeaders(app, headers);
  guardBrowsers(app, options);
  await shedUnderPressure(app, options.pressure);
  await limitCalls(app, { ...options.limits, authenticate: createAuthentication(options) });
  checkScopes(app);
  refuseWhenClosing(app);
  limitLongAnswers(app);
  logAnswers(app);
  acceptBodies(app);
  answerProblems(app);
  await describeApi(app);
  await app.register(options.routes);
  await app.ready();
  return app;
}

/**
 * The newline puts the prompt of a terminal on its own line. A frozen answer is the same in each response, so its text
 * is kept for as long as the answer lives.
 */
function endWithNewline(app: FastifyInstance): void {
  app.setSerializerCompiler((route) => {
    const serialize = serializerCompiler(route as Parameters<typeof serializerCompiler>[0]);
    const texts = new WeakMap<object, string>();
    return (answer) => {
      if (!Object.isFrozen(answer) || typeof answer !== "object" || answer === null)
        return `${serialize(answer)}\n`;
      let text = texts.get(answer);
      if (text === undefined) {
        text = `${serialize(answer)}\n`;
        texts.set(answer, text);
      }
      return text;
    };
  });
}

function refuseWhenClosing(app: FastifyInstance): void {
  let closing = false;
  app.addHook("preClose", async () => {
    closing = true;
  });
  app.addHook("onRequest", async () => {
    if (closing) throw new CarillonError("unavailable", "The service is shutting down: try again shortly.");
  });
}

function logAnswers(app: FastifyInstance): void {
  app.addHook("onResponse", async (request, reply) => {
    const { method, routeOptions, clientAddress: client } = request;
    const level = routeOptions.config.public ? "debug" : "info";
    const path = request.originalUrl.split("?", 1)[0];
    const ms = Math.round(reply.elapsedTime);
    request.log[level]({ method, path, status: reply.statusCode, ms, client }, "answered");
  });
}

function createServer(
  { logger, tls, maxConnections, stallTimeout, graceMs, serverFactory }: AppOptions,
  headers: SecurityHeaders,
): FastifyInstance {
  return Fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    // logAnswers writes one line for each request; Fastify would write two.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    bodyLimit: BODY_LIMIT_BYTES,
    serverFactory: (listener) =>
      serverFactory?.(listener) ?? createHttpServer(listener, { tls, maxConnections, stallTimeout, graceMs }),
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH, caseSensitive: true },
    // It would also take the host and the scheme from headers: see client-address.ts.
    trustProxy: false,
    // A close waits for the responses in progress.
    forceCloseConnections: "idle",
    // refuseWhenClosing does this, with a problem document.
    return503OnClosing: false,
    clientErrorHandler: clientErrorAnswerer(headers),
    frameworkErrors: answerUnroutable,
  });
}
