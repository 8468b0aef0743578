/** All routes of the API. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Deps } from "../../orchestrator/deps.ts";
import { healthRoutes } from "./health.ts";
import { jobRoutes } from "./jobs.ts";
import { runRoutes } from "./runs.ts";
import { scheduleRoutes } from "./schedules.ts";

/** @param notReady names what is not ready; empty when all is */
export function routes(deps: Deps, notReady: () => Promise<string[]>): FastifyPluginAsyncZod {
  return async (app) => {
    await app.register(healthRoutes(notReady));
    await app.register(jobRoutes(deps));
    await app.register(runRoutes(deps));
    await app.register(scheduleRoutes(deps));
  };
}
