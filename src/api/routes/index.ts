/** All routes of the API. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Infra } from "../../infra.ts";
import { refuseUnknownInput } from "../plugins/validation.ts";
import type { ApiSettings } from "../settings.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { healthRoutes } from "./health.ts";
import { jobRoutes } from "./jobs.ts";
import { auditRoutes, nextRoutes, statsRoutes } from "./overview.ts";
import { rootRoutes } from "./root.ts";
import { runLogRoutes } from "./run-log.ts";
import { runRoutes, runTreeRoutes } from "./runs.ts";
import { scheduleRoutes } from "./schedules.ts";
import { secretRoutes } from "./secrets.ts";
import { tokenRoutes } from "./tokens.ts";
import { triggerRoutes } from "./triggers.ts";

/** Registers every route of the API. */
export function routes(infra: Infra, settings: ApiSettings): FastifyPluginAsyncZod {
  const { db } = infra;
  return async (app) => {
    await app.register(rootRoutes(db));
    await app.register(healthRoutes(settings.readiness));
    // Does not cover the routes above: probes and browsers may add anything to a query.
    refuseUnknownInput(app);
    await app.register(jobRoutes(infra, settings));
    await app.register(triggerRoutes(infra, settings));
    await app.register(runRoutes(infra, settings));
    await app.register(runLogRoutes(infra, settings));
    await app.register(runTreeRoutes(db));
    await app.register(deliveryRoutes(infra));
    await app.register(scheduleRoutes(infra, settings));
    await app.register(secretRoutes(db, settings));
    await app.register(tokenRoutes(db, settings));
    await app.register(auditRoutes(db));
    await app.register(nextRoutes(db, settings));
    await app.register(statsRoutes(db, settings));
  };
}
