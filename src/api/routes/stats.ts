/** The call that says what goes on, in numbers. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Deps } from "../../orchestrator/deps.ts";
import { readStats } from "../../orchestrator/read-stats.ts";
import { problems } from "../schemas/problem.ts";
import { statsSchema, statsView } from "../schemas/stats.ts";

/** @param sinceLastBeat of this process's scheduler, in ms; undefined when it has none */
export const statsRoutes =
  (deps: Deps, sinceLastBeat: () => number | undefined): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      "/api/v1/stats",
      {
        schema: {
          summary: "Count runs, deliveries and jobs",
          tags: ["stats"],
          response: { 200: statsSchema, ...problems() },
        },
      },
      async () => statsView(await readStats(deps), sinceLastBeat()),
    );
  };
