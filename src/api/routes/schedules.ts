/** The calls on schedules: make the database equal to a document, and read it back. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { putSchedule } from "../../orchestrator/define-jobs.ts";
import type { Deps } from "../../orchestrator/deps.ts";
import { readSchedule } from "../../orchestrator/read-definitions.ts";
import { nameSchema } from "../schemas/fields.ts";
import { problemResponses } from "../schemas/problem.ts";
import {
  changesSchema,
  scheduleDefinition,
  scheduleSchema,
  scheduleView,
  scheduleViewSchema,
} from "../schemas/schedule.ts";

const PATH = "/api/v1/schedules/:name";
const BODY_LIMIT_BYTES = 2 * 1024 * 1024;
const params = z.object({ name: nameSchema });

export const scheduleRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.put(
      PATH,
      {
        bodyLimit: BODY_LIMIT_BYTES,
        schema: {
          summary: "Make a schedule equal to a document, such as a cheek file",
          tags: ["schedules"],
          params,
          body: scheduleSchema,
          response: { 200: changesSchema, ...problemResponses },
        },
      },
      async ({ params: { name }, body }) => ({
        name,
        ...(await putSchedule(deps, scheduleDefinition(name, body))),
      }),
    );

    app.get(
      PATH,
      {
        schema: {
          summary: "Read a schedule with its jobs",
          tags: ["schedules"],
          params,
          response: { 200: scheduleViewSchema, ...problemResponses },
        },
      },
      async ({ params: { name } }) => {
        const { schedule, jobs } = await readSchedule(deps, name);
        return scheduleView(schedule, jobs, deps.defaultTimezone, await deps.db.now());
      },
    );
  };
