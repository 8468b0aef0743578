/** The call that reads the output of a run: all of it, a part, or a live stream. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Authenticator } from "../../access/authenticate.ts";
import { ADMIN } from "../../access/rules/grants.ts";
import { CarillonError } from "../../errors.ts";
import type { Infra } from "../../infra.ts";
import { followLog, type LogPart, type LogStep, logPart, readLog } from "../../logs/follow.ts";
import type { LogReader } from "../../logs/reader.ts";
import { findTail } from "../../logs/tail.ts";
import { requireRun } from "../../runs/read.ts";
import { readCredential } from "../plugins/authentication.ts";
import { problems } from "../schemas/problem.ts";
import { LOG_ANSWERS, logHeadersSchema, logQuerySchema } from "../schemas/run-log.ts";
import type { ApiSettings } from "../settings.ts";
import { preferred } from "../views/accept.ts";
import { type ByteRange, cutRange, parseRange } from "../views/log-range.ts";
import { eventStream, plainText, sendTexts } from "../views/log-stream.ts";

const TEXT = "text/plain; charset=utf-8";
const EVENTS = "text/event-stream";

/** `GET /runs/{id}/log`. */
export const runLogRoutes =
  (
    infra: Infra,
    settings: Pick<ApiSettings, "authenticator" | "reader" | "closing">,
  ): FastifyPluginAsyncZod =>
  async (app) => {
    const { db } = infra;
    const { authenticator, reader, closing } = settings;
    app.get(
      "/api/v1/runs/:id/log",
      {
        config: { scope: ["read", "trigger"], long: true },
        schema: {
          summary: "Read the output of a run, or follow it",
          tags: ["runs"],
          params: z.object({ id: z.uuid() }),
          querystring: logQuerySchema,
          headers: logHeadersSchema,
          response: { ...LOG_ANSWERS, ...problems(400, 404, 416) },
        },
      },
      async (request, reply) => {
        const { query, headers, caller } = request;
        const { id } = request.params;
        await requireRun(db, caller, id);
        const asEvents = preferred(request, ["text/plain", EVENTS]) === EVENTS;
        let part = await logPart(reader, id, query.attempt);
        if (query.tail !== undefined) {
          const { from, end } = await findTail(db, reader, id, part, query.tail);
          part = asEvents || query.follow ? { ...part, from } : { ...part, from, end };
        }
        reply.header("vary", "accept");
        if (asEvents) {
          const from = headers["last-event-id"] ?? part.from;
          const events = eventStream(
            untilRevoked(authenticator, request, followLog(reader, id, { ...part, from }, settings)),
          );
          return sendTexts(reply.type(EVENTS), events, closing);
        }
        reply.type(TEXT);
        if (query.follow) {
          const steps = untilRevoked(authenticator, request, followLog(reader, id, part, settings));
          // Destroying the connection makes `curl` fail, because the output is not complete.
          const cutOff = () => void (closing.aborted && reply.raw.destroy());
          return sendTexts(reply, plainText(steps, cutOff), closing);
        }
        const range = parseRange(headers.range);
        reply.header("accept-ranges", "bytes");
        if (range === undefined || reply.request.method === "HEAD") {
          return sendTexts(reply, plainText(readLog(reader, id, part)), closing);
        }
        return answerRange(reader, reply, id, part, range);
      },
    );
  };

/** Ends the steps when the caller's token is revoked or expires, which the admin token never does. */
function untilRevoked(
  authenticator: Authenticator,
  request: FastifyRequest,
  steps: AsyncIterable<LogStep>,
): AsyncIterable<LogStep> {
  const token = readCredential(request);
  return request.caller.id === ADMIN || token === undefined
    ? steps
    : authenticator.whileGranted(token, steps);
}

async function answerRange(
  reader: LogReader,
  reply: FastifyReply,
  id: string,
  part: LogPart,
  range: ByteRange,
): Promise<FastifyReply> {
  // Read before the text: the output of a run that has ended no longer grows.
  const progress = await reader.progress(id);
  const hasEnded = progress === undefined || progress.ended;
  const { first, bytes, seen } = await cutRange(plainText(readLog(reader, id, part)), range, hasEnded);
  if (bytes.length === 0) {
    reply.header("content-range", `bytes */${seen}`);
    throw new CarillonError("range_not_satisfiable", `The output has ${seen} bytes; positions start at 0.`);
  }
  const total = hasEnded ? seen : "*";
  reply.header("content-range", `bytes ${first}-${first + bytes.length - 1}/${total}`);
  return reply.code(206).send(bytes);
}
