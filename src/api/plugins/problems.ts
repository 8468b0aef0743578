/** Answers every error as application/problem+json (RFC 9457), without internal details. */

import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { ConnectionError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { CarillonError, sentence } from "../../errors.ts";
import { isConflict, isDatabaseAway, isTimeout } from "../../postgres/failures.ts";
import type { Problem } from "../schemas/problem.ts";
import { unsupportedMediaType } from "./body-parsers.ts";
import type { SecurityHeaders } from "./security-headers.ts";

export const PROBLEM_TYPE = "application/problem+json";
const RETRY_AFTER_S = 5;

interface FrameworkError extends Error {
  code?: string;
  statusCode?: number;
  /** Set by http-errors when callers may see the message. */
  expose?: boolean;
}

/** A path that no route has. */
const UNROUTABLE = "/unroutable";
/** The errors of requests that were sent to this path. */
const unroutable = new WeakMap<IncomingMessage, Error>();

/** Replaces Fastify's responses to errors and unknown routes. Call it after all guards. */
export function answerProblems(app: FastifyInstance): void {
  app.setErrorHandler(answerError);
  app.addHook("onRequest", async ({ raw }) => {
    const error = unroutable.get(raw);
    if (error !== undefined) throw error;
  });
  app.setNotFoundHandler((request, reply) => {
    throw unknownRoute(request, reply);
  });
}

/**
 * Fastify's handler for a URL that its router cannot read. Fastify runs no hooks for such a request, so it goes through
 * the router again, with another path: the guards check it like any other.
 */
export function answerUnroutable(error: Error, { raw, server }: FastifyRequest, reply: FastifyReply): void {
  unroutable.set(raw, error);
  Object.assign(raw, { originalUrl: raw.url, url: UNROUTABLE });
  server.routing(raw, reply.raw);
}

/** Sends the response for one error. An error outside the catalogue is logged, and the response says only `internal`. */
function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const failure = asCarillonError(error, request);
  if (failure.status >= 500) request.log.error({ err: error }, "a request failed");
  if ((failure.status === 503 || failure.status === 429) && !reply.hasHeader("retry-after")) {
    reply.header("retry-after", RETRY_AFTER_S);
  }
  const problem = problemOf(failure, request.originalUrl.split("?", 1)[0]);
  return reply
    .code(failure.status)
    .type(PROBLEM_TYPE)
    .send(`${JSON.stringify(problem)}\n`);
}

/** Creates the handler for data that the HTTP parser cannot read; there is no request and no reply yet. */
export function clientErrorAnswerer(securityHeaders: SecurityHeaders) {
  return function answerClientError(this: FastifyInstance, error: ConnectionError, socket: Socket): void {
    this.log.debug({ err: error }, "a connection was refused");
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    const failure = clientFailure(error.code);
    const body = JSON.stringify(problemOf(failure));
    const headers = {
      ...securityHeaders,
      "content-type": PROBLEM_TYPE,
      "content-length": Buffer.byteLength(body),
      connection: "close",
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    socket.write(
      [`HTTP/1.1 ${failure.status} ${STATUS_CODES[failure.status]}`, ...lines, "", body].join("\r\n"),
    );
    socket.destroySoon();
  };
}

/** Returns the problem document of an error. `instance` is the path of the request. */
export function problemOf(failure: CarillonError, instance?: string): Problem {
  return {
    type: `urn:carillon:problem:${failure.code}`,
    title: failure.title,
    status: failure.status,
    detail: failure.message,
    ...(instance === undefined ? {} : { instance }),
    code: failure.code,
    ...(failure.errors.length === 0 ? {} : { errors: [...failure.errors] }),
  };
}

function asCarillonError(error: unknown, request: FastifyRequest): CarillonError {
  if (error instanceof CarillonError && error.code !== "internal") return error;
  const refused = fromFramework(error, request);
  if (refused !== undefined) return refused;
  if (isDatabaseAway(error)) {
    return new CarillonError("unavailable", "The database does not answer: try again shortly.");
  }
  if (isTimeout(error)) {
    return new CarillonError("unavailable", "The database is busy, and this call took too long: try again.");
  }
  if (isConflict(error)) {
    return new CarillonError(
      "unavailable",
      "This change conflicted with other changes at the same time: try again.",
    );
  }
  return new CarillonError("internal", `See the log for request ${request.id}.`);
}

// Errors of Fastify and its file server with these marks have messages for callers.
function fromFramework(error: unknown, request: FastifyRequest): CarillonError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code = "", statusCode = 500, expose = false }: FrameworkError = error;
  // The client disconnected before its body was complete, so nobody reads the response.
  const brokeOff = code === "ECONNRESET" && statusCode === 400;
  if (!code.startsWith("FST_") && !expose && !brokeOff) return undefined;
  switch (statusCode) {
    case 413:
      return new CarillonError("body_too_large", `The limit is ${request.routeOptions.bodyLimit} bytes.`);
    case 415:
      return unsupportedMediaType(request);
    default:
      return statusCode < 500
        ? new CarillonError("bad_request", sentence(`The request cannot be read: ${error.message}`))
        : undefined;
  }
}

function unknownRoute(request: FastifyRequest, reply: FastifyReply): CarillonError {
  const { server, method, url } = request;
  const allowed = server.supportedMethods.filter(
    (other) => server.findRoute({ method: other, url }) !== null,
  );
  if (allowed.length === 0 || allowed.includes(method)) {
    return new CarillonError("route_not_found", "See /docs for the list of routes.");
  }
  const list = allowed.join(", ");
  reply.header("allow", list);
  return new CarillonError(
    "method_not_allowed",
    `The method ${method} is not allowed here; allowed: ${list}.`,
  );
}

function clientFailure(code: string): CarillonError {
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new CarillonError("request_timeout", "The request did not arrive in time.");
    case "HPE_HEADER_OVERFLOW":
      return new CarillonError("headers_too_large", "The header fields are too large.");
    default:
      return new CarillonError("bad_request", "This is not a valid HTTP request.");
  }
}
