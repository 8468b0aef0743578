/** Makes ids that sort by time (UUIDv7), and turns a time range into a range of ids. */
import { v7 as uuidv7 } from "uuid";

/** Returns a new id. It sorts after the ids made before it. */
export function newId(): string {
  return uuidv7();
}

/** No id sorts before it. */
export const LOWEST_ID = "00000000-0000-0000-0000-000000000000";

/** Times t with since <= t < until; an unset bound is open. */
export interface TimeRange {
  since?: Date | undefined;
  until?: Date | undefined;
}

/** How far (ms) the clock of a node, which ids carry, may differ from the database's clock. */
const SLACK_MS = 3_600_000;

/**
 * Returns the range of ids that rows of a time range can have, since an id begins with its time. The range is wider
 * than the times by the slack of the clocks, so the query must compare the times too.
 */
export function idRange({ since, until }: TimeRange): { from: string | undefined; to: string | undefined } {
  return {
    from: since && lowestId(since.getTime() - SLACK_MS),
    to: until && lowestId(until.getTime() + SLACK_MS),
  };
}

function lowestId(ms: number): string {
  const time = Math.max(0, ms).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}
