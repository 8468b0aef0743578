/** The calls on schedules: replace one by a document, change, read and delete one. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Infra } from "../../infra.ts";
import { patchScheduleDocument } from "../../jobs/rules/patch.ts";
import type { Database } from "../../postgres/client.ts";
import { readSchedule, readSchedules, type ScheduleState } from "../../schedules/read.ts";
import { deleteSchedule, editSchedule, putSchedule } from "../../schedules/save-schedule.ts";
import { parseDocument } from "../plugins/validation.ts";
import { nameSchema, pageQuerySchema } from "../schemas/fields.ts";
import { problems } from "../schemas/problem.ts";
import { changesSchema, saveQuerySchema, schedulePatchSchema } from "../schemas/saves.ts";
import { scheduleListSchema, scheduleSchema, scheduleViewSchema } from "../schemas/schedule.ts";
import type { ApiSettings } from "../settings.ts";
import { scheduleChanges } from "../views/changes.ts";
import { answerPage, readCursor } from "../views/paging.ts";
import { listedView, namedSchedule, scheduleDocument, scheduleView } from "../views/schedule.ts";
import { scheduleWarnings } from "../views/warnings.ts";

const LIST = "/api/v1/schedules";
const PATH = `${LIST}/:name`;
/** A schedule can be a long file, so its limit is higher than that of other bodies. */
export const SCHEDULE_LIMIT_BYTES = 2 * 1024 * 1024;
const params = z.object({ name: nameSchema });
const tags = ["schedules"];

/** All calls on schedules. */
export const scheduleRoutes =
  (infra: Infra, settings: Pick<ApiSettings, "defaultTimezone" | "advice">): FastifyPluginAsyncZod =>
  async (app) => {
    await app.register(scheduleReads(infra.db, settings));
    await app.register(scheduleSaves(infra, settings));
  };

const scheduleReads =
  (db: Database, { defaultTimezone }: Pick<ApiSettings, "defaultTimezone">): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      LIST,
      {
        config: { scope: "read" },
        schema: {
          summary: "List the schedules by name",
          tags,
          querystring: pageQuerySchema,
          response: { 200: scheduleListSchema, ...problems(400) },
        },
      },
      async (request, reply) => {
        const { limit, cursor } = request.query;
        const page = { after: readCursor(cursor, nameSchema), limit: limit + 1 };
        const schedules = await readSchedules(db, request.caller, page);
        return answerPage(request, reply, schedules, { limit, key: ({ name }) => name, view: listedView });
      },
    );

    app.get(
      PATH,
      {
        config: { scope: "read" },
        schema: {
          summary: "Read a schedule with its jobs; a PUT accepts the response unchanged",
          tags,
          params,
          response: { 200: scheduleViewSchema, ...problems(400, 404) },
        },
      },
      async ({ params: { name }, caller }) =>
        scheduleView(await readSchedule(db, caller, name), defaultTimezone, await db.now()),
    );
  };

const scheduleSaves =
  (infra: Infra, { advice }: Pick<ApiSettings, "advice">): FastifyPluginAsyncZod =>
  async (app) => {
    app.put(
      PATH,
      {
        config: { scope: "admin" },
        bodyLimit: SCHEDULE_LIMIT_BYTES,
        schema: {
          summary:
            "Make a schedule equal to a document, such as a cheek file; this deletes jobs that the document lacks",
          tags,
          params,
          querystring: saveQuerySchema,
          body: scheduleSchema,
          response: { 200: changesSchema, ...problems(400, 409, 413, 415, 422) },
        },
      },
      async ({ params: { name }, query: { dry_run: dryRun = false }, body, caller }) => {
        const { before, after } = await putSchedule(infra, caller, namedSchedule(name, body), { dryRun });
        return scheduleChanges(before, after, { dryRun, warnings: scheduleWarnings(body, advice) });
      },
    );

    app.patch(
      PATH,
      {
        config: { scope: "admin" },
        bodyLimit: SCHEDULE_LIMIT_BYTES,
        schema: {
          summary: "Change fields and jobs of a schedule (RFC 7396): `null` removes a field or a job",
          tags,
          params,
          querystring: saveQuerySchema,
          body: schedulePatchSchema,
          response: { 200: changesSchema, ...problems(400, 404, 409, 413, 415, 422) },
        },
      },
      async ({ params: { name }, query: { dry_run: dryRun = false }, body, caller }) => {
        const { before, after } = await editSchedule(
          infra,
          caller,
          name,
          (state) => applyPatch(state, body),
          {
            dryRun,
          },
        );
        const warnings = scheduleWarnings(scheduleDocument(after), advice);
        return scheduleChanges(before, after, { dryRun, warnings });
      },
    );

    app.delete(
      PATH,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Delete a schedule with its jobs; their history stays",
          tags,
          params,
          response: { 204: z.null(), ...problems(400, 404, 409, 413, 415) },
        },
      },
      async ({ params: { name }, caller }, reply) => {
        await deleteSchedule(infra, caller, name);
        return reply.code(204).send(null);
      },
    );
  };

function applyPatch(state: ScheduleState, patch: Record<string, unknown>) {
  const document = parseDocument(scheduleSchema, patchScheduleDocument(scheduleDocument(state), patch));
  return namedSchedule(state.schedule.name, document);
}
