/** All routes of the API. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Deps } from "../../deps.ts";
import { refuseUnknownInput } from "../plugins/strict-requests.ts";
import type { Readiness } from "../readiness.ts";
import type { Advice } from "../schemas/warnings.ts";
import { auditRoutes } from "./audit.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { healthRoutes } from "./health.ts";
import { jobRoutes } from "./jobs.ts";
import { nextRoutes } from "./next.ts";
import { rootRoutes } from "./root.ts";
import { runLogRoutes } from "./run-log.ts";
import { runTreeRoutes } from "./run-tree.ts";
import { runRoutes } from "./runs.ts";
import { scheduleRoutes } from "./schedules.ts";
import { secretRoutes } from "./secrets.ts";
import { type ProcessNumbers, statsRoutes } from "./stats.ts";
import { tokenRoutes } from "./tokens.ts";
import { triggerRoutes } from "./triggers.ts";

/**
 * @param readiness of this process
 * @param advice what saves warn about
 * @param numbers of this process
 */
export function routes(
  deps: Deps,
  readiness: () => Promise<Readiness>,
  advice: Advice,
  numbers: ProcessNumbers,
): FastifyPluginAsyncZod {
  return async (app) => {
    await app.register(rootRoutes(deps));
    await app.register(healthRoutes(readiness));
    // Not for those above: probes and browsers may add to a query what they like.
    refuseUnknownInput(app);
    await app.register(jobRoutes(deps, advice));
    await app.register(triggerRoutes(deps));
    await app.register(runRoutes(deps));
    await app.register(runLogRoutes(deps));
    await app.register(runTreeRoutes(deps));
    await app.register(deliveryRoutes(deps));
    await app.register(scheduleRoutes(deps, advice));
    await app.register(secretRoutes(deps));
    await app.register(tokenRoutes(deps));
    await app.register(auditRoutes(deps));
    await app.register(nextRoutes(deps));
    await app.register(statsRoutes(deps, numbers));
  };
}
