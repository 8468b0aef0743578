/** The call that says what is due next, over all jobs. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { readNext } from "../../jobs/next.ts";
import type { Database } from "../../postgres/client.ts";
import { agendaQuerySchema, agendaSchema } from "../schemas/job-answers.ts";
import { problems } from "../schemas/problem.ts";
import type { ApiSettings } from "../settings.ts";
import { agendaView } from "../views/job.ts";

export const nextRoutes =
  (db: Database, settings: Pick<ApiSettings, "defaultTimezone">): FastifyPluginAsyncZod =>
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
        agendaView(await readNext(db, { withinMs: within, limit }, settings)),
    );
  };
