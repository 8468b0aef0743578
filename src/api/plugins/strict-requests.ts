/** Refuses what a call does not take, which would otherwise be ignored: a query, a body, an Idempotency-Key. */

import type { FastifyInstance, FastifyRequest } from "fastify";
import { z } from "zod";
import { CarillonError } from "../../errors.ts";

const NO_QUERY = z.strictObject({});

/** Holds all routes that are registered after this to their schemas. */
export function refuseUnknownInput(app: FastifyInstance): void {
  app.addHook("onRoute", (route) => {
    route.schema = { ...route.schema, querystring: route.schema?.querystring ?? NO_QUERY };
  });
  app.addHook("preValidation", async (request) => {
    refuseBody(request);
    refuseKey(request);
  });
}

// A client that sends a body expects it to do something, such as a rerun with another env.
function refuseBody({ body, routeOptions }: FastifyRequest): void {
  if (routeOptions.schema?.body !== undefined || body === undefined || body === null) return;
  throw new CarillonError("bad_request", "This call takes no body: leave it out");
}

// Who sends a key relies on it when calling again. Calls other than POST are idempotent without one.
function refuseKey({ headers, method, routeOptions }: FastifyRequest): void {
  if (method !== "POST" || routeOptions.schema?.headers !== undefined) return;
  if (headers["idempotency-key"] === undefined) return;
  throw new CarillonError(
    "bad_request",
    "This call takes no Idempotency-Key; only POST /api/v1/jobs/{name}/trigger does",
  );
}
