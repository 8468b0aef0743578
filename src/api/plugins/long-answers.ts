/** How many answers that take long one token may have under way, so that it leaves connections to others. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { CarillonError } from "../../errors.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Answers for as long as the caller takes, or longer. */
    long?: boolean;
  }
}

/** Of all connections: less than half, and room for the short calls of the same token. */
const SHARE = 0.4;

/** Answers 429 `rate_limited` to calls of a token that has too many waits, followed logs and reads of logs under way. */
export function limitLongAnswers(app: FastifyInstance): void {
  const most = Math.floor(app.server.maxConnections * SHARE);
  const underWay = new Map<string, number>();
  // Once the query is read, and before anything is done.
  app.addHook("preHandler", async (request, reply) => {
    if (!isLong(request)) return;
    const { id } = request.caller;
    const before = underWay.get(id) ?? 0;
    if (before >= most) {
      throw new CarillonError(
        "rate_limited",
        `This token has ${most} calls under way that wait for a run or read its log: end one of them first`,
      );
    }
    // Who has gone already closes nothing any more.
    if (request.raw.socket.destroyed) return;
    underWay.set(id, before + 1);
    reply.raw.once("close", () => {
      const left = (underWay.get(id) ?? 0) - 1;
      if (left > 0) underWay.set(id, left);
      else underWay.delete(id);
    });
  });
}

function isLong({ routeOptions, query }: FastifyRequest): boolean {
  const { long = false, public: isPublic = false } = routeOptions.config;
  if (isPublic) return false;
  return long || (typeof query === "object" && query !== null && "wait" in query && Number(query.wait) > 0);
}
