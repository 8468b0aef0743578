/** Limits the number of long responses in progress, so that short calls and other tokens find free connections. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { CarillonError, sentence } from "../../errors.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The response may take as long as the caller or a run takes. */
    long?: boolean;
  }
}

/** The share of all connections that the long responses of one token may take. */
const TOKEN_SHARE = 0.4;
/** The share of all connections that the long responses of all tokens together may take. */
const TOTAL_SHARE = 0.8;

/** Answers 429 `rate_limited` to calls that wait for a run or read a log while too many of them are in progress. */
export function limitLongAnswers(app: FastifyInstance): void {
  const most = Math.floor(app.server.maxConnections * TOKEN_SHARE);
  const mostOfAll = Math.floor(app.server.maxConnections * TOTAL_SHARE);
  const underWay = new Map<string, number>();
  let total = 0;
  // This hook runs after the query is parsed and before the handler.
  app.addHook("preHandler", async (request, reply) => {
    if (!isLong(request)) return;
    const { id } = request.caller;
    const before = underWay.get(id) ?? 0;
    if (before >= most || total >= mostOfAll) {
      const who = before >= most ? `This token has ${most}` : `All tokens together have ${mostOfAll}`;
      throw new CarillonError(
        "rate_limited",
        sentence(`${who} calls in progress that wait for a run or read a log: end one of them first`),
      );
    }
    // The client has already disconnected, so no close event will follow.
    if (request.raw.socket.destroyed) return;
    underWay.set(id, before + 1);
    total += 1;
    reply.raw.once("close", () => {
      total -= 1;
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
