/** All routes of the API. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Deps } from "../../orchestrator/deps.ts";
import type { Advice } from "../schemas/warnings.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { healthRoutes } from "./health.ts";
import { jobRoutes } from "./jobs.ts";
import { rootRoutes } from "./root.ts";
import { runTreeRoutes } from "./run-tree.ts";
import { runRoutes } from "./runs.ts";
import { scheduleRoutes } from "./schedules.ts";
import { statsRoutes } from "./stats.ts";
import { triggerRoutes } from "./triggers.ts";

/**
 * @param notReady names what is not ready; empty when all is
 * @param advice what saves warn about
 * @param sinceLastBeat of this process's scheduler, in ms; undefined when it has none
 */
export function routes(
  deps: Deps,
  notReady: () => Promise<string[]>,
  advice: Advice,
  sinceLastBeat: () => number | undefined = () => undefined,
): FastifyPluginAsyncZod {
  return async (app) => {
    await app.register(rootRoutes(deps));
    await app.register(healthRoutes(notReady));
    await app.register(jobRoutes(deps, advice));
    await app.register(triggerRoutes(deps));
    await app.register(runRoutes(deps));
    await app.register(runTreeRoutes(deps));
    await app.register(deliveryRoutes(deps));
    await app.register(scheduleRoutes(deps, advice));
    await app.register(statsRoutes(deps, sinceLastBeat));
  };
}
