/** The call that says who has changed what. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { type AuditRow, readAudit } from "../../access/audit.ts";
import type { Database } from "../../postgres/client.ts";
import { auditListSchema, auditQuerySchema, type entrySchema } from "../schemas/audit.ts";
import { problems } from "../schemas/problem.ts";
import { answerPage, rangeOf, readCursor } from "../views/paging.ts";

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
        return answerPage(request, reply, await readAudit(db, filter, page), limit, auditView);
      },
    );
  };

/** An entry on the wire. */
export function auditView({ at, changes, ...entry }: AuditRow): z.input<typeof entrySchema> {
  return { ...entry, at: at.toISOString(), changes: changes as Record<string, unknown> };
}
