/** Paginates lists: time ranges, opaque cursors and the Link header. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { CarillonError } from "../../errors.ts";
import type { TimeRange } from "../../postgres/ids.ts";
import type { Moment } from "../schemas/run-queries.ts";

/**
 * Decodes an opaque cursor to the key of the last item before it. Throws malformed_cursor.
 * @param key the schema of such a key
 */
export function readCursor(cursor: string | undefined, key: z.ZodType<string>): string | undefined {
  if (cursor === undefined) return undefined;
  try {
    return z.tuple([key]).parse(JSON.parse(Buffer.from(cursor, "base64url").toString()))[0];
  } catch {
    throw new CarillonError(
      "malformed_cursor",
      "Send next_cursor of the previous page unchanged, or leave cursor out.",
    );
  }
}

function writeCursor(key: string): string {
  return Buffer.from(JSON.stringify([key])).toString("base64url");
}

/** How a list becomes pages. */
interface PageOptions<Row, View> {
  /** Maximum number of items of a page. */
  limit: number;
  /** Set when the search for rows stopped early: the key of the last row that it looked at. */
  stoppedAt?: string | undefined;
  /** The unique field that the list is sorted by; a cursor contains its value. */
  key: (row: Row) => string;
  view: (row: Row) => View;
}

/**
 * Returns a page, and sets `Link: <...>; rel="next"` when another page follows, so that clients can page without parsing JSON.
 * @param rows one more than `limit` when another page follows
 */
export function answerPage<Row, View>(
  request: FastifyRequest,
  reply: FastifyReply,
  rows: readonly Row[],
  { limit, stoppedAt, key, view }: PageOptions<Row, View>,
): { items: View[]; next_cursor: string | null } {
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  const lastKey = last === undefined ? stoppedAt : key(last);
  const next = lastKey === undefined ? null : writeCursor(lastKey);
  if (next !== null) {
    const path = new URL(request.url, "http://localhost");
    path.searchParams.set("cursor", next);
    reply.header("link", `<${path.pathname}${path.search}>; rel="next"`);
  }
  return { items: shown.map(view), next_cursor: next };
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
