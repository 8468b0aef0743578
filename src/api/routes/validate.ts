/** The call that validates a document without saving it. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { z } from "zod";
import type { Caller } from "../../access/rules/grants.ts";
import { CarillonError, withinSentence } from "../../errors.ts";
import type { Infra } from "../../infra.ts";
import type { StoredJob } from "../../jobs/find.ts";
import { DEFAULT_SCHEDULE } from "../../jobs/rules/definition.ts";
import { putJob } from "../../schedules/save-job.ts";
import { putSchedule } from "../../schedules/save-schedule.ts";
import { parseDocument } from "../plugins/validation.ts";
import type { Warning } from "../schemas/fields.ts";
import { jobSchema } from "../schemas/job.ts";
import { problems } from "../schemas/problem.ts";
import { validateQuerySchema, validateSchema, validationSchema } from "../schemas/saves.ts";
import { scheduleSchema } from "../schemas/schedule.ts";
import type { ApiSettings } from "../settings.ts";
import { jobView } from "../views/job.ts";
import { jobDefinition } from "../views/job-document.ts";
import { namedSchedule } from "../views/schedule.ts";
import { type Advice, jobWarnings, scheduleWarnings } from "../views/warnings.ts";
import { SCHEDULE_LIMIT_BYTES } from "./schedules.ts";

interface ValidDocument {
  jobs: StoredJob[];
  warnings: Warning[];
}

/** `POST /jobs/validate`. */
export const validateRoute =
  (
    infra: Infra,
    { advice, defaultTimezone }: Pick<ApiSettings, "advice" | "defaultTimezone">,
  ): FastifyPluginAsyncZod =>
  async (app) => {
    app.post(
      "/api/v1/jobs/validate",
      {
        config: { scope: "admin" },
        bodyLimit: SCHEDULE_LIMIT_BYTES,
        schema: {
          summary:
            "Validate a job or a whole schedule without saving it; returns 200 even when it is invalid",
          tags: ["jobs"],
          querystring: validateQuerySchema,
          body: validateSchema,
          response: { 200: validationSchema, ...problems(400, 413, 415, 422) },
        },
      },
      async ({ query: { schedule = DEFAULT_SCHEDULE }, body, caller }) => {
        try {
          const { jobs, warnings } =
            "jobs" in body
              ? await trySchedule(infra, caller, schedule, body, advice)
              : await tryJob(infra, caller, body, advice);
          const now = await infra.db.now();
          const views = jobs.map((job) => [job.definition.name, jobView(job, defaultTimezone, now)]);
          return { valid: true, errors: [], warnings, jobs: Object.fromEntries(views) };
        } catch (error) {
          return invalidResult(error);
        }
      },
    );
  };

async function tryJob(infra: Infra, caller: Caller, body: unknown, advice: Advice): Promise<ValidDocument> {
  const { name, ...document } = parseDocument(jobSchema, body);
  const { job } = await putJob(infra, caller, jobDefinition(name, document), { dryRun: true });
  return { jobs: [job], warnings: jobWarnings(document, advice) };
}

async function trySchedule(
  infra: Infra,
  caller: Caller,
  name: string,
  body: unknown,
  advice: Advice,
): Promise<ValidDocument> {
  const document = parseDocument(scheduleSchema, body);
  const { after } = await putSchedule(infra, caller, namedSchedule(name, document), { dryRun: true });
  return { jobs: after.jobs, warnings: scheduleWarnings(document, advice) };
}

function invalidResult(error: unknown): z.input<typeof validationSchema> {
  if (!(error instanceof CarillonError)) throw error;
  const errors =
    error.errors.length > 0 ? [...error.errors] : [{ path: "body", message: withinSentence(error.message) }];
  return { valid: false, errors, warnings: [], jobs: {} };
}
