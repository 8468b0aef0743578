/** The calls that make a run: trigger a job, and run it once more. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Deps } from "../../orchestrator/deps.ts";
import { rerun, triggerRun } from "../../orchestrator/trigger-run.ts";
import { answerRun, KEYED_ANSWERS, TRIGGER_ANSWERS } from "../run-answer.ts";
import { nameSchema } from "../schemas/fields.ts";
import { problems } from "../schemas/problem.ts";
import { runQuerySchema, triggerHeadersSchema, triggerSchema } from "../schemas/run.ts";

export const triggerRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.post(
      "/api/v1/jobs/:name/trigger",
      {
        schema: {
          summary: "Trigger a run",
          tags: ["jobs"],
          params: z.object({ name: nameSchema }),
          headers: triggerHeadersSchema,
          querystring: runQuerySchema,
          body: triggerSchema,
          response: { ...KEYED_ANSWERS, ...problems(400, 404, 409, 413, 415, 422, 424, 429) },
        },
      },
      async ({ params, headers, query, body }, reply) => {
        const { triggered_by: triggeredBy, env, events } = body ?? {};
        const { id, replayed } = await triggerRun(deps, {
          job: params.name,
          triggeredBy,
          env,
          events,
          idempotencyKey: headers["idempotency-key"],
        });
        if (replayed) reply.header("idempotency-replayed", "true");
        reply.header("location", `/api/v1/runs/${id}`);
        return answerRun(deps, reply, id, { ...query, unfinished: 202 });
      },
    );

    app.post(
      "/api/v1/runs/:id/rerun",
      {
        schema: {
          summary: "Run the job of a run once more, as the job is now and with the same env",
          tags: ["runs"],
          params: z.object({ id: z.uuid() }),
          querystring: runQuerySchema,
          response: { ...TRIGGER_ANSWERS, ...problems(400, 404, 409, 413, 415, 424, 429) },
        },
      },
      async ({ params, query }, reply) => {
        const id = await rerun(deps, params.id);
        reply.header("location", `/api/v1/runs/${id}`);
        return answerRun(deps, reply, id, { ...query, unfinished: 202 });
      },
    );
  };
