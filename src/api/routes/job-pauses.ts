/** The calls that take a job's cron slots from it and give them back. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Infra } from "../../infra.ts";
import { pauseJob, resumeJob } from "../../schedules/pause.ts";
import { nameSchema } from "../schemas/fields.ts";
import { jobViewSchema } from "../schemas/job-answers.ts";
import { problems } from "../schemas/problem.ts";
import type { ApiSettings } from "../settings.ts";
import { jobView } from "../views/job.ts";

const params = z.object({ name: nameSchema });

const pauseSchema = z
  .strictObject({
    by: z.string().min(1).max(200).optional().describe("Who pauses it"),
    reason: z.string().min(1).max(2_000).optional(),
  })
  .optional()
  .meta({ id: "Pause", example: { by: "ann", reason: "the machine is being descaled" } });

export const jobPauses =
  (infra: Infra, { defaultTimezone }: Pick<ApiSettings, "defaultTimezone">): FastifyPluginAsyncZod =>
  async (app) => {
    app.post(
      "/api/v1/jobs/:name/pause",
      {
        config: { scope: "admin" },
        schema: {
          summary:
            "Pause a job: its cron slots are missed, other triggers work; saving it does not lift that",
          tags: ["jobs"],
          params,
          body: pauseSchema,
          response: { 200: jobViewSchema, ...problems(400, 404, 413, 415, 422) },
        },
      },
      async ({ params: { name }, body, caller }) =>
        jobView(await pauseJob(infra, caller, name, body ?? {}), defaultTimezone, await infra.db.now()),
    );

    app.post(
      "/api/v1/jobs/:name/resume",
      {
        config: { scope: "admin" },
        schema: {
          summary: "End the pause of a job; slots that have passed make no runs",
          tags: ["jobs"],
          params,
          response: { 200: jobViewSchema, ...problems(400, 404, 413, 415) },
        },
      },
      async ({ params: { name }, caller }) =>
        jobView(await resumeJob(infra, caller, name), defaultTimezone, await infra.db.now()),
    );
  };
