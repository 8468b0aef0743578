/** Paginates lists: time ranges, opaque cursors and the Link header. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { CarillonError } from "../../errors.ts";
import type { TimeRange } from "../../postgres/ids.ts";
import type { Moment } from "../schemas/run-queries.ts";

/** Encodes the key of the last item of a page as an opaque cursor; null for undefined. */
export function writeCursor(last: string | undefined): string | null {
  return last === undefined ? null : Buffer.from(JSON.stringify([last])).toString("base64url");
}

/**
 * Decodes a cursor to the key of the last item before it. Throws malformed_cursor.
 * @param last the schema of such a key
 */
export function readCursor(cursor: string | undefined, last: z.ZodType<string>): string | undefined {
  if (cursor === undefined) return undefined;
  try {
    return z.tuple([last]).parse(JSON.parse(Buffer.from(cursor, "base64url").toString()))[0];
  } catch {
    throw new CarillonError(
      "malformed_cursor",
      "send next_cursor of the previous page unchanged, or leave cursor out",
    );
  }
}

/** Sets `Link: <...>; rel="next"`, so that clients can page without parsing JSON. */
export function linkNext(request: FastifyRequest, reply: FastifyReply, cursor: string | null): void {
  if (cursor === null) return;
  const next = new URL(request.url, "http://localhost");
  next.searchParams.set("cursor", cursor);
  reply.header("link", `<${next.pathname}${next.search}>; rel="next"`);
}

/** Returns a page of a list whose cursor is an id; `rows` has one more than `limit` when there is a next page. */
export function answerPage<Row, View extends { id: string }>(
  request: FastifyRequest,
  reply: FastifyReply,
  rows: readonly Row[],
  limit: number,
  view: (row: Row) => View,
): { items: View[]; next_cursor: string | null } {
  const items = rows.slice(0, limit).map(view);
  const next = rows.length > limit ? writeCursor(items.at(-1)?.id) : null;
  linkNext(request, reply, next);
  return { items, next_cursor: next };
}

/** Converts the time range of a query to instants. It calls `now` only when the query contains an age. */
export async function rangeOf(
  { since, until }: { since?: Moment | undefined; until?: Moment | undefined },
  now: () => Promise<Date>,
): Promise<TimeRange> {
  const instant = async (moment: Moment | undefined): Promise<Date | undefined> => {
    if (moment === undefined) return undefined;
    const ms = "at" in moment ? moment.at.getTime() : (await now()).getTime() - moment.agoMs;
    // No row is older than 1970, and Postgres has no year 0.
    return new Date(Math.max(0, ms));
  };
  return { since: await instant(since), until: await instant(until) };
}
