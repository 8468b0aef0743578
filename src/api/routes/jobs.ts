/** The calls on jobs: save, read, delete and trigger. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { invalidDocument } from "../../core/errors.ts";
import { createJob, deleteJob, putJob } from "../../orchestrator/define-jobs.ts";
import type { Deps } from "../../orchestrator/deps.ts";
import { readJob, readJobs } from "../../orchestrator/read-definitions.ts";
import { triggerRun } from "../../orchestrator/trigger-run.ts";
import { linkNext, pageQuerySchema, readCursor, writeCursor } from "../paging.ts";
import { answerRun, TRIGGER_ANSWERS } from "../run-answer.ts";
import { nameSchema } from "../schemas/fields.ts";
import { jobDefinition, jobSchema, putJobSchema } from "../schemas/job.ts";
import { jobListSchema, jobView, jobViewSchema } from "../schemas/job-view.ts";
import { problemResponses } from "../schemas/problem.ts";
import { triggerSchema, waitQuerySchema } from "../schemas/run.ts";

const PATH = "/api/v1/jobs";
const params = z.object({ name: nameSchema });

/** All calls on jobs. */
export const jobRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    await app.register(readingJobs(deps));
    await app.register(savingJobs(deps));
    await app.register(triggeringJobs(deps));
  };

const readingJobs =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      PATH,
      {
        schema: {
          summary: "List the jobs by name",
          tags: ["jobs"],
          querystring: pageQuerySchema,
          response: { 200: jobListSchema, ...problemResponses },
        },
      },
      async (request, reply) => {
        const { limit, cursor } = request.query;
        const jobs = await readJobs(deps, { after: readCursor(cursor, nameSchema), limit: limit + 1 });
        const now = await deps.db.now();
        const items = jobs.slice(0, limit).map((job) => jobView(job, deps.defaultTimezone, now));
        const next = jobs.length > limit ? writeCursor(items.at(-1)?.name) : null;
        linkNext(request, reply, next);
        return { items, next_cursor: next };
      },
    );

    app.get(
      `${PATH}/:name`,
      {
        schema: {
          summary: "Read a job",
          tags: ["jobs"],
          params,
          response: { 200: jobViewSchema, ...problemResponses },
        },
      },
      async ({ params: { name } }) =>
        jobView(await readJob(deps, name), deps.defaultTimezone, await deps.db.now()),
    );
  };

const savingJobs =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.post(
      PATH,
      {
        schema: {
          summary: "Save a new job",
          tags: ["jobs"],
          body: jobSchema,
          response: { 201: jobViewSchema, ...problemResponses },
        },
      },
      async ({ body: { name, ...document } }, reply) => {
        const job = await createJob(deps, jobDefinition(name, document));
        reply.code(201).header("location", jobPath(name));
        return jobView(job, deps.defaultTimezone, await deps.db.now());
      },
    );

    app.put(
      `${PATH}/:name`,
      {
        schema: {
          summary: "Save a job, new or not",
          tags: ["jobs"],
          params,
          body: putJobSchema,
          response: { 200: jobViewSchema, 201: jobViewSchema, ...problemResponses },
        },
      },
      async ({ params: { name }, body: { name: said, ...document } }, reply) => {
        if (said !== undefined && said !== name) {
          throw invalidDocument([
            { path: "name", message: `must be ${name} as in the path, or be left out` },
          ]);
        }
        const { job, created } = await putJob(deps, jobDefinition(name, document));
        if (created) reply.code(201).header("location", jobPath(name));
        return jobView(job, deps.defaultTimezone, await deps.db.now());
      },
    );

    app.delete(
      `${PATH}/:name`,
      {
        schema: {
          summary: "Delete a job; its history stays",
          tags: ["jobs"],
          params,
          response: { 204: z.null(), ...problemResponses },
        },
      },
      async ({ params: { name } }, reply) => {
        await deleteJob(deps, name);
        return reply.code(204).send(null);
      },
    );
  };

const triggeringJobs =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.post(
      `${PATH}/:name/trigger`,
      {
        schema: {
          summary: "Trigger a run",
          tags: ["jobs"],
          params,
          querystring: waitQuerySchema,
          body: triggerSchema,
          response: TRIGGER_ANSWERS,
        },
      },
      async ({ params: { name }, query, body }, reply) => {
        const { triggered_by: triggeredBy, env, events } = body ?? {};
        const { id } = await triggerRun(deps, { job: name, triggeredBy, env, events });
        reply.header("location", `/api/v1/runs/${id}`);
        return answerRun(deps, reply, id, { waitMs: query.wait, unfinished: 202 });
      },
    );
  };

function jobPath(name: string): string {
  return `${PATH}/${encodeURIComponent(name)}`;
}
