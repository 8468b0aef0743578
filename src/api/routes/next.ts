/** The call that says what is due next, over all jobs. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Deps } from "../../deps.ts";
import { readNext } from "../../jobs/next.ts";
import { agendaQuerySchema, agendaSchema, agendaView } from "../schemas/next.ts";
import { problems } from "../schemas/problem.ts";

export const nextRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      "/api/v1/next",
      {
        config: { scope: "read" },
        schema: {
          summary:
            "When jobs are due next, the earliest slot first; none of jobs that are paused or disabled",
          tags: ["jobs"],
          querystring: agendaQuerySchema,
          response: { 200: agendaSchema, ...problems(400) },
        },
      },
      async ({ query: { within, limit } }) =>
        agendaView(await readNext(deps.db, { withinMs: within, limit }, deps)),
    );
  };
