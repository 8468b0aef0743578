/** The calls on the history: list runs, read one, read its log. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Deps } from "../../orchestrator/deps.ts";
import { readLog, readRuns } from "../../orchestrator/read-history.ts";
import { linkNext, readCursor, writeCursor } from "../paging.ts";
import { answerRun, RUN_ANSWERS } from "../run-answer.ts";
import { problemResponses } from "../schemas/problem.ts";
import {
  logQuerySchema,
  logSchema,
  runListQuerySchema,
  runListSchema,
  waitQuerySchema,
} from "../schemas/run.ts";
import { runSummaryView } from "../schemas/run-view.ts";

const PATH = "/api/v1/runs";
const params = z.object({ id: z.uuid() });

export const runRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      PATH,
      {
        schema: {
          summary: "List runs, newest first",
          tags: ["runs"],
          querystring: runListQuerySchema,
          response: { 200: runListSchema, ...problemResponses },
        },
      },
      async (request, reply) => {
        const { job, state, limit, cursor } = request.query;
        const states = state === undefined ? undefined : [state].flat();
        const runs = await readRuns(
          deps,
          { job, states },
          { beforeId: readCursor(cursor, z.uuid()), limit: limit + 1 },
        );
        const items = runs.slice(0, limit).map(runSummaryView);
        const next = runs.length > limit ? writeCursor(items.at(-1)?.id) : null;
        linkNext(request, reply, next);
        return { items, next_cursor: next };
      },
    );

    app.get(
      `${PATH}/:id`,
      {
        schema: {
          summary: "Read a run",
          tags: ["runs"],
          params,
          querystring: waitQuerySchema,
          response: RUN_ANSWERS,
        },
      },
      async ({ params: { id }, query }, reply) => {
        return answerRun(deps, reply, id, { waitMs: query.wait, unfinished: 200 });
      },
    );

    app.get(
      `${PATH}/:id/log`,
      {
        schema: {
          summary: "Read what a run printed",
          tags: ["runs"],
          params,
          querystring: logQuerySchema,
          response: {
            200: { description: "The output", content: { "text/plain": { schema: logSchema } } },
            ...problemResponses,
          },
        },
      },
      async ({ params: { id }, query }, reply) => {
        const log = await readLog(deps, id, query.attempt);
        return reply.type("text/plain; charset=utf-8").send(log);
      },
    );
  };
