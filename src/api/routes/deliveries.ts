/** The calls on deliveries: list them, read one with its tries, send one again. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { readDeliveries, readDelivery } from "../../deliveries/list.ts";
import { redeliver } from "../../deliveries/redeliver.ts";
import type { Infra } from "../../infra.ts";
import { readRunState } from "../../runs/read.ts";
import { deliveryDetailSchema, deliveryListSchema } from "../schemas/delivery.ts";
import { problems } from "../schemas/problem.ts";
import { deliveryListQuerySchema } from "../schemas/run-queries.ts";
import { deliveryDetailView, deliverySummaryView } from "../views/delivery.ts";
import { answerPage, rangeOf, readCursor } from "../views/paging.ts";

const PATH = "/api/v1/deliveries";
const params = z.object({ id: z.uuid() });
const tags = ["deliveries"];

/** All calls on deliveries. */
export const deliveryRoutes =
  (infra: Infra): FastifyPluginAsyncZod =>
  async (app) => {
    const { db } = infra;
    app.get(
      PATH,
      {
        config: { scope: "read" },
        schema: {
          summary: "List deliveries, newest first",
          tags,
          querystring: deliveryListQuerySchema,
          response: { 200: deliveryListSchema, ...problems(400, 404) },
        },
      },
      async (request, reply) => {
        const { state: states, run: runId, job: jobs, limit, cursor, ...range } = request.query;
        const filter = { states, runId, jobs, ...(await rangeOf(range, db.now)) };
        if (runId !== undefined) await readRunState(db, runId);
        const page = { beforeId: readCursor(cursor, z.uuid()), limit: limit + 1 };
        const { deliveries, stoppedAt } = await readDeliveries(db, request.caller, filter, page);
        return answerPage(request, reply, deliveries, {
          limit,
          stoppedAt,
          key: ({ id }) => id,
          view: deliverySummaryView,
        });
      },
    );

    app.get(
      `${PATH}/:id`,
      {
        config: { scope: "read" },
        schema: {
          summary: "Read a delivery with its tries",
          tags,
          params,
          response: { 200: deliveryDetailSchema, ...problems(400, 404) },
        },
      },
      async ({ params: { id }, caller }) => deliveryDetailView(await readDelivery(db, caller, id)),
    );

    app.post(
      `${PATH}/:id/redeliver`,
      {
        config: { scope: "admin" },
        schema: {
          summary: "Send a delivery again at once, with the same id and body",
          tags,
          params,
          response: { 202: deliveryDetailSchema, ...problems(400, 404, 413, 415) },
        },
      },
      async ({ params: { id }, caller }, reply) => {
        await redeliver(infra, caller, id);
        reply.header("location", `${PATH}/${id}`);
        return reply.code(202).send(deliveryDetailView(await readDelivery(db, caller, id)));
      },
    );
  };
