/** The calls on runs: list them, read one or its chain, cancel one. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Infra } from "../../infra.ts";
import type { Database } from "../../postgres/client.ts";
import { cancelRun } from "../../runs/cancel.ts";
import { readRuns } from "../../runs/list.ts";
import { type RunSummary, requireRun } from "../../runs/read.ts";
import type { RunFilter } from "../../runs/run-filter.ts";
import { readTree } from "../../runs/tree.ts";
import { nameSchema } from "../schemas/fields.ts";
import { problems } from "../schemas/problem.ts";
import { drawnTreeSchema, mermaidTreeSchema, runListSchema, runTreeSchema } from "../schemas/run.ts";
import { jobRunsQuerySchema, runListQuerySchema } from "../schemas/run-queries.ts";
import { CANCEL_ANSWERS, RUN_ANSWERS, runQuerySchema, waitQuerySchema } from "../schemas/trigger.ts";
import type { ApiSettings } from "../settings.ts";
import { preferred } from "../views/accept.ts";
import { answerPage, rangeOf, readCursor } from "../views/paging.ts";
import { runSummaryView } from "../views/run.ts";
import { answerRun } from "../views/run-answer.ts";
import { drawTree, mermaidTree, treeView } from "../views/run-tree.ts";

const PATH = "/api/v1/runs";
const params = z.object({ id: z.uuid() });
const tags = ["runs"];
/** How lists of runs become pages. */
const LISTED = { key: ({ id }: RunSummary) => id, view: runSummaryView };

/** All calls on runs except those that create one. */
export const runRoutes =
  (infra: Infra, settings: Pick<ApiSettings, "reader" | "closing">): FastifyPluginAsyncZod =>
  async (app) => {
    await app.register(runLists(infra.db));
    await app.register(oneRun(infra, settings));
  };

const runLists =
  (db: Database): FastifyPluginAsyncZod =>
  async (app) => {
    const response = { 200: runListSchema, ...problems(400, 404) };
    app.get(
      PATH,
      {
        config: { scope: "read" },
        schema: {
          summary: "List runs, newest first",
          tags,
          querystring: runListQuerySchema,
          response,
        },
      },
      async (request, reply) => {
        const { job: jobs, schedule: schedules, ...query } = request.query;
        const { runs, stoppedAt } = await readPage(db, query, { jobs, schedules });
        return answerPage(request, reply, runs, { limit: query.limit, stoppedAt, ...LISTED });
      },
    );

    app.get(
      "/api/v1/jobs/:name/runs",
      {
        config: { scope: "read" },
        schema: {
          summary: "List the runs of a job, newest first",
          tags,
          params: z.object({ name: nameSchema }),
          querystring: jobRunsQuerySchema,
          response,
        },
      },
      async (request, reply) => {
        const { runs, stoppedAt } = await readPage(db, request.query, { jobs: [request.params.name] });
        return answerPage(request, reply, runs, { limit: request.query.limit, stoppedAt, ...LISTED });
      },
    );
  };

/** Reads one run more than the page holds, so that answerPage can tell whether another page follows. */
async function readPage(db: Database, query: z.output<typeof jobRunsQuerySchema>, of: RunFilter) {
  const filter = {
    ...of,
    ...(await rangeOf(query, db.now)),
    states: query.state,
    statuses: query.status,
    triggeredBy: query.triggered_by,
    triggers: query.trigger,
    labels: query.label,
  };
  return readRuns(db, filter, { beforeId: readCursor(query.cursor, z.uuid()), limit: query.limit + 1 });
}

const oneRun =
  (infra: Infra, settings: Pick<ApiSettings, "reader" | "closing">): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      `${PATH}/:id`,
      {
        config: { scope: ["read", "trigger"] },
        schema: {
          summary: "Read a run",
          tags,
          params,
          querystring: runQuerySchema,
          response: { ...RUN_ANSWERS, ...problems(400, 404, 424) },
        },
      },
      async ({ params: { id }, query, caller }, reply) => {
        await requireRun(infra.db, caller, id);
        return answerRun(infra, caller, reply, id, { ...query, unfinished: 200 }, settings);
      },
    );

    app.post(
      `${PATH}/:id/cancel`,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Cancel a run; a running command gets SIGTERM, and SIGKILL 5 s later",
          tags,
          params,
          querystring: waitQuerySchema,
          response: { ...CANCEL_ANSWERS, ...problems(400, 404, 409, 413, 415) },
        },
      },
      async ({ params: { id }, query, caller }, reply) => {
        const ended = await cancelRun(infra, caller, id);
        return answerRun(infra, caller, reply, id, { ...query, unfinished: ended ? 200 : 202 }, settings);
      },
    );
  };

const MERMAID = "text/vnd.mermaid";

/** `GET /runs/{id}/tree`. */
export const runTreeRoutes =
  (db: Database): FastifyPluginAsyncZod =>
  async (app) => {
    app.get(
      "/api/v1/runs/:id/tree",
      {
        config: { scope: "read" },
        schema: {
          summary: "Show the whole chain of a run, from its first run down",
          tags: ["runs"],
          params: z.object({ id: z.uuid() }),
          response: {
            200: {
              description: "The chain, at most 1,000 runs",
              content: {
                "application/json": { schema: runTreeSchema },
                "text/plain": { schema: drawnTreeSchema },
                [MERMAID]: { schema: mermaidTreeSchema },
              },
            },
            ...problems(400, 404),
          },
        },
      },
      async ({ params: { id }, headers }, reply) => {
        const { runs, truncated } = await readTree(db, id);
        const tree = treeView(runs, id, truncated);
        reply.header("vary", "accept");
        const type = preferred({ headers }, ["application/json", "text/plain", MERMAID]);
        switch (type) {
          case "application/json":
            return reply.type(type).send(tree);
          case "text/plain":
            return reply.type(`${type}; charset=utf-8`).send(drawTree(tree));
          case MERMAID:
            return reply.type(`${type}; charset=utf-8`).send(mermaidTree(tree));
        }
      },
    );
  };
