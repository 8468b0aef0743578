/** The calls that create a run: trigger a job, and rerun a run. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Infra } from "../../infra.ts";
import { rerun, triggerRun } from "../../runs/trigger-by-caller.ts";
import { nameSchema } from "../schemas/fields.ts";
import { problems } from "../schemas/problem.ts";
import {
  KEYED_ANSWERS,
  runQuerySchema,
  TRIGGER_ANSWERS,
  triggerHeadersSchema,
  triggerSchema,
} from "../schemas/trigger.ts";
import type { ApiSettings } from "../settings.ts";
import { answerRun } from "../views/run-answer.ts";

/** `POST /jobs/{name}/trigger` and `POST /runs/{id}/rerun`. */
export const triggerRoutes =
  (infra: Infra, settings: Pick<ApiSettings, "reader" | "closing">): FastifyPluginAsyncZod =>
  async (app) => {
    app.post(
      "/api/v1/jobs/:name/trigger",
      {
        config: { scope: "trigger" },
        schema: {
          summary: "Trigger a run of a job",
          tags: ["jobs"],
          params: z.object({ name: nameSchema }),
          headers: triggerHeadersSchema,
          querystring: runQuerySchema,
          body: triggerSchema,
          response: { ...KEYED_ANSWERS, ...problems(400, 404, 409, 413, 415, 422, 424, 429) },
        },
      },
      async ({ params, headers, query, body, caller }, reply) => {
        const { triggered_by: triggeredBy, env, events } = body ?? {};
        const { id, replayed, run } = await triggerRun(infra, caller, {
          job: params.name,
          triggeredBy,
          env,
          events,
          idempotencyKey: headers["idempotency-key"],
        });
        if (replayed) reply.header("idempotency-replayed", "true");
        reply.header("location", `/api/v1/runs/${id}`);
        return answerRun(infra, caller, reply, id, { ...query, created: run, unfinished: 202 }, settings);
      },
    );

    app.post(
      "/api/v1/runs/:id/rerun",
      {
        config: { scope: "admin" },
        schema: {
          summary: "Run the job of a run again, with the current revision of the job and the same `env`",
          tags: ["runs"],
          params: z.object({ id: z.uuid() }),
          querystring: runQuerySchema,
          response: { ...TRIGGER_ANSWERS, ...problems(400, 404, 409, 413, 415, 424, 429) },
        },
      },
      async ({ params, query, caller }, reply) => {
        const id = await rerun(infra, caller, params.id);
        reply.header("location", `/api/v1/runs/${id}`);
        return answerRun(infra, caller, reply, id, { ...query, unfinished: 202 }, settings);
      },
    );
  };
