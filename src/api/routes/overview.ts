/** The calls that give an overview: the next slots, the counts and the audit log. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { readAudit } from "../../access/audit.ts";
import { readNext } from "../../jobs/next.ts";
import type { Database } from "../../postgres/client.ts";
import { readStats } from "../../runs/stats.ts";
import { agendaQuerySchema, agendaSchema } from "../schemas/job-answers.ts";
import { auditListSchema, auditQuerySchema, statsSchema } from "../schemas/overview.ts";
import { problems } from "../schemas/problem.ts";
import type { ApiSettings } from "../settings.ts";
import { agendaView } from "../views/job.ts";
import { auditView, statsView } from "../views/overview.ts";
import { answerPage, rangeOf, readCursor } from "../views/paging.ts";

/** `GET /audit`. */
export const auditRoutes =
  (db: Database): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      "/api/v1/audit",
      {
        config: { scope: "admin" },
        schema: {
          summary: "List the changes that callers made, newest first",
          tags: ["audit"],
          querystring: auditQuerySchema,
          response: { 200: auditListSchema, ...problems(400) },
        },
      },
      async (request, reply) => {
        const { limit, cursor, actor, action, target, ...range } = request.query;
        const filter = { actor, action, target, ...(await rangeOf(range, db.now)) };
        const page = { beforeId: readCursor(cursor, z.uuid()), limit: limit + 1 };
        const entries = await readAudit(db, filter, page);
        return answerPage(request, reply, entries, { limit, key: ({ id }) => id, view: auditView });
      },
    );
  };

/** `GET /next`. */
export const nextRoutes =
  (db: Database, settings: Pick<ApiSettings, "defaultTimezone">): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      "/api/v1/next",
      {
        config: { scope: "read" },
        schema: {
          summary: "List the next cron slots of all jobs, earliest first; paused and disabled jobs have none",
          tags: ["jobs"],
          querystring: agendaQuerySchema,
          response: { 200: agendaSchema, ...problems(400) },
        },
      },
      async ({ query: { within, limit } }) =>
        agendaView(await readNext(db, { withinMs: within, limit }, settings)),
    );
  };

/** `GET /stats`. */
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
