/** The call that says what goes on, in numbers. */

import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Deps } from "../../deps.ts";
import type { Deleted } from "../../runs/retain.ts";
import { readStats } from "../../runs/stats.ts";
import type { SchedulerNumbers } from "../../scheduler/overdue.ts";
import { problems } from "../schemas/problem.ts";
import { statsSchema, statsView } from "../schemas/stats.ts";

/** What only this process knows. */
export interface ProcessNumbers {
  /** How its scheduler does, and all of them together. */
  scheduler(): Promise<SchedulerNumbers>;
  /** By its retention, since it started. */
  deleted(): Deleted;
}

export const statsRoutes =
  (deps: Deps, { scheduler, deleted }: ProcessNumbers): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      "/api/v1/stats",
      {
        config: { scope: "read" },
        schema: {
          summary: "Count runs, deliveries and jobs",
          tags: ["stats"],
          response: { 200: statsSchema, ...problems(400) },
        },
      },
      async () => statsView(await readStats(deps), await scheduler(), deleted()),
    );
  };
