/** The calls on runs: list them, read one and its log, cancel one. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { RunFilter } from "../../db/run-list.ts";
import { cancelRun } from "../../orchestrator/cancel-run.ts";
import type { Deps } from "../../orchestrator/deps.ts";
import { readLog, readRuns } from "../../orchestrator/read-history.ts";
import { answerPage, readCursor } from "../paging.ts";
import { answerRun, RUN_ANSWERS } from "../run-answer.ts";
import { nameSchema } from "../schemas/fields.ts";
import { problems } from "../schemas/problem.ts";
import { logQuerySchema, logSchema, runListSchema, runQuerySchema } from "../schemas/run.ts";
import { jobRunsQuerySchema, rangeOf, runListQuerySchema } from "../schemas/run-query.ts";
import { runSummaryView } from "../schemas/run-view.ts";

const PATH = "/api/v1/runs";
const params = z.object({ id: z.uuid() });
const tags = ["runs"];

/** All calls on runs but those that make one. */
export const runRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    await app.register(listingRuns(deps));
    await app.register(oneRun(deps));
  };

const listingRuns =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    const response = { 200: runListSchema, ...problems(400, 404) };
    app.get(
      PATH,
      {
        schema: {
          summary: "List runs, newest first",
          tags,
          querystring: runListQuerySchema,
          response,
        },
      },
      async (request, reply) => {
        const { job: jobs, schedule: schedules, ...query } = request.query;
        const runs = await listed(deps, query, { jobs, schedules });
        return answerPage(request, reply, runs, query.limit, runSummaryView);
      },
    );

    app.get(
      "/api/v1/jobs/:name/runs",
      {
        schema: {
          summary: "List the runs of a job, newest first",
          tags,
          params: z.object({ name: nameSchema }),
          querystring: jobRunsQuerySchema,
          response,
        },
      },
      async (request, reply) => {
        const runs = await listed(deps, request.query, { jobs: [request.params.name] });
        return answerPage(request, reply, runs, request.query.limit, runSummaryView);
      },
    );
  };

/** One run more than the page has, if there are so many. */
async function listed(deps: Deps, query: z.output<typeof jobRunsQuerySchema>, of: RunFilter) {
  const filter = {
    ...of,
    ...(await rangeOf(query, deps.db.now)),
    states: query.state,
    statuses: query.status,
    triggeredBy: query.triggered_by,
    triggers: query.trigger,
    labels: query.label,
  };
  return readRuns(deps, filter, { beforeId: readCursor(query.cursor, z.uuid()), limit: query.limit + 1 });
}

const oneRun =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      `${PATH}/:id`,
      {
        schema: {
          summary: "Read a run",
          tags,
          params,
          querystring: runQuerySchema,
          response: { ...RUN_ANSWERS, ...problems(400, 404, 424) },
        },
      },
      async ({ params: { id }, query }, reply) => answerRun(deps, reply, id, { ...query, unfinished: 200 }),
    );

    app.post(
      `${PATH}/:id/cancel`,
      {
        schema: {
          summary: "Cancel a run that is not running; one that is cancelled already stays so",
          tags,
          params,
          response: { ...RUN_ANSWERS, ...problems(400, 404, 409, 413, 415) },
        },
      },
      async ({ params: { id } }, reply) => {
        await cancelRun(deps, id);
        return answerRun(deps, reply, id, { unfinished: 200 });
      },
    );

    app.get(
      `${PATH}/:id/log`,
      {
        schema: {
          summary: "Read what a run printed",
          tags,
          params,
          querystring: logQuerySchema,
          response: {
            200: { description: "The output", content: { "text/plain": { schema: logSchema } } },
            ...problems(400, 404),
          },
        },
      },
      async ({ params: { id }, query }, reply) => {
        const log = await readLog(deps, id, query.attempt);
        return reply.type("text/plain; charset=utf-8").send(log);
      },
    );
  };
