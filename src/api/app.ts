/** The HTTP application: limits, guard, bodies, problems and documentation around the routes it is given. */
import { randomUUID } from "node:crypto";
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from "fastify";
import { type FastifyPluginAsyncZod, serializerCompiler } from "fastify-type-provider-zod";
import { CarillonError } from "../core/errors.ts";
import { acceptBodies } from "./body-parsers.ts";
import { describeApi } from "./openapi.ts";
import { answerClientError, answerError, answerProblems } from "./problem.ts";
import { createGuard, type Guard, type GuardOptions } from "./security.ts";
import { compileValidator } from "./validation.ts";

const BODY_LIMIT_BYTES = 256 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 5_000;
const TIMEOUT_CHECK_MS = 1_000;
const MAX_PARAM_LENGTH = 512;

export interface AppOptions extends GuardOptions {
  /** Unset: nothing is logged. */
  logger?: FastifyBaseLogger;
  /** The routes, with their full paths. */
  routes: FastifyPluginAsyncZod;
}

/** The application, ready to listen. */
export async function buildApp({ logger, routes, ...guardOptions }: AppOptions): Promise<FastifyInstance> {
  const guard = createGuard(guardOptions);
  const app = createServer(guard, logger);
  app.setValidatorCompiler(compileValidator);
  app.setSerializerCompiler((route) => {
    const serialize = serializerCompiler(route as Parameters<typeof serializerCompiler>[0]);
    // So that a terminal's prompt begins on a line of its own.
    return (answer) => `${serialize(answer)}\n`;
  });
  app.addHook("onRequest", async (request, reply) => guard(request, reply));
  refuseWhenClosing(app);
  app.addHook("onResponse", async (request, reply) => {
    const { method, routeOptions } = request;
    const level = routeOptions.config.public ? "debug" : "info";
    const path = request.url.split("?", 1)[0];
    const ms = Math.round(reply.elapsedTime);
    request.log[level]({ method, path, status: reply.statusCode, ms }, "answered");
  });
  acceptBodies(app);
  answerProblems(app);
  await describeApi(app);
  await app.register(routes);
  await app.ready();
  return app;
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

function createServer(guard: Guard, logger: FastifyBaseLogger | undefined): FastifyInstance {
  return Fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    // One line for an answer instead of Fastify's two.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: {
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      // The guard answers a missing Host; Node would do so with an empty body.
      requireHostHeader: false,
    },
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH, caseSensitive: true },
    trustProxy: false,
    // Answers under way are finished first.
    forceCloseConnections: "idle",
    // refuseWhenClosing does it, with a problem.
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    // A URL that cannot be decoded passes no hook, so it meets the guard here.
    frameworkErrors: (error, request, reply) => {
      try {
        guard(request, reply);
        answerError(error, request, reply);
      } catch (refusal) {
        answerError(refusal, request, reply);
      }
    },
  });
}
