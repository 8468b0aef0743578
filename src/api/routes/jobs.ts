/** The calls on jobs: read, pause and resume; job-saves.ts adds those that save. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Infra } from "../../infra.ts";
import type { Database } from "../../postgres/client.ts";
import { pauseJob, resumeJob } from "../../schedules/pause.ts";
import { readJob, readJobs, readRevision, readRevisions } from "../../schedules/read.ts";
import { nameSchema, pageQuerySchema } from "../schemas/fields.ts";
import {
  jobListSchema,
  jobViewSchema,
  nextQuerySchema,
  nextSchema,
  pauseSchema,
  revisionListSchema,
  revisionSchema,
} from "../schemas/job-answers.ts";
import { problems } from "../schemas/problem.ts";
import type { ApiSettings } from "../settings.ts";
import { jobView, nextView, revisionView } from "../views/job.ts";
import { answerPage, readCursor } from "../views/paging.ts";
import { jobSaves } from "./job-saves.ts";
import { validateRoute } from "./validate.ts";

const PATH = "/api/v1/jobs";
const MAX_REVISION = 2 ** 31 - 2;
const params = z.object({ name: nameSchema });
const tags = ["jobs"];

/** All calls on jobs except the trigger. */
export const jobRoutes =
  (
    infra: Infra,
    settings: Pick<ApiSettings, "defaultTimezone" | "advice" | "reader" | "closing">,
  ): FastifyPluginAsyncZod =>
  async (app) => {
    await app.register(jobReads(infra.db, settings));
    await app.register(revisionReads(infra.db));
    await app.register(jobSaves(infra, settings));
    await app.register(validateRoute(infra, settings));
    await app.register(jobPauses(infra, settings));
  };

const jobReads =
  (db: Database, { defaultTimezone }: Pick<ApiSettings, "defaultTimezone">): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      PATH,
      {
        config: { scope: "read" },
        schema: {
          summary: "List the jobs by name",
          tags,
          querystring: pageQuerySchema,
          response: { 200: jobListSchema, ...problems(400) },
        },
      },
      async (request, reply) => {
        const { limit, cursor } = request.query;
        const jobs = await readJobs(db, request.caller, {
          after: readCursor(cursor, nameSchema),
          limit: limit + 1,
        });
        return answerPage(request, reply, jobs, {
          limit,
          key: ({ definition }) => definition.name,
          view: (job) => jobView(job, defaultTimezone, job.readAt),
        });
      },
    );

    app.get(
      `${PATH}/:name`,
      {
        config: { scope: "read" },
        schema: {
          summary: "Read a job; a PUT accepts the response unchanged",
          tags,
          params,
          response: { 200: jobViewSchema, ...problems(400, 404) },
        },
      },
      async ({ params: { name }, caller }) => {
        const job = await readJob(db, caller, name);
        return jobView(job, defaultTimezone, job.readAt);
      },
    );

    app.get(
      `${PATH}/:name/next`,
      {
        config: { scope: "read" },
        schema: {
          summary: "List the next cron slots of a job; none while it is paused or disabled",
          tags,
          params,
          querystring: nextQuerySchema,
          response: { 200: nextSchema, ...problems(400, 404) },
        },
      },
      async ({ params: { name }, query: { count }, caller }) => {
        const job = await readJob(db, caller, name);
        return nextView(job, defaultTimezone, job.readAt, count);
      },
    );
  };

const revisionReads =
  (db: Database): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      `${PATH}/:name/revisions`,
      {
        config: { scope: "read" },
        schema: {
          summary: "List the revisions of a job, newest first",
          tags,
          params,
          querystring: pageQuerySchema,
          response: { 200: revisionListSchema, ...problems(400, 404) },
        },
      },
      async (request, reply) => {
        const { limit, cursor } = request.query;
        const last = readCursor(cursor, z.string().regex(/^\d{1,9}$/));
        const page = { before: last === undefined ? undefined : Number(last), limit: limit + 1 };
        const revisions = await readRevisions(db, request.caller, request.params.name, page);
        return answerPage(request, reply, revisions, {
          limit,
          key: ({ number }) => String(number),
          view: revisionView,
        });
      },
    );

    app.get(
      `${PATH}/:name/revisions/:number`,
      {
        config: { scope: "read" },
        schema: {
          summary: "Read a revision of a job",
          tags,
          params: params.extend({ number: z.coerce.number().int().min(1).max(MAX_REVISION) }),
          response: { 200: revisionSchema, ...problems(400, 404) },
        },
      },
      async ({ params: { name, number }, caller }) =>
        revisionView(await readRevision(db, caller, name, number)),
    );
  };

const jobPauses =
  (infra: Infra, { defaultTimezone }: Pick<ApiSettings, "defaultTimezone">): FastifyPluginAsyncZod =>
  async (app) => {
    app.post(
      "/api/v1/jobs/:name/pause",
      {
        config: { scope: "admin" },
        schema: {
          summary:
            "Pause a job: it misses its cron slots, and other triggers work. Saving the job does not end the pause",
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
          summary: "End the pause of a job; slots that have passed create no runs",
          tags: ["jobs"],
          params,
          response: { 200: jobViewSchema, ...problems(400, 404, 413, 415) },
        },
      },
      async ({ params: { name }, caller }) =>
        jobView(await resumeJob(infra, caller, name), defaultTimezone, await infra.db.now()),
    );
  };
