/** The call that says what goes on, in numbers. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { Database } from "../../postgres/client.ts";
import { readStats } from "../../runs/stats.ts";
import { problems } from "../schemas/problem.ts";
import { statsSchema } from "../schemas/stats.ts";
import type { ApiSettings } from "../settings.ts";
import { statsView } from "../views/stats.ts";

export const statsRoutes =
  (db: Database, { numbers }: Pick<ApiSettings, "numbers">): FastifyPluginAsyncZod =>
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
      async () => statsView(await readStats(db), await numbers.scheduler(), numbers.deleted()),
    );
  };
