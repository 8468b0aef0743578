/** Ids that sort by time (UUIDv7), and bounds of time as bounds of ids. */
import { v7 as uuidv7 } from "uuid";

/** A new id; later ones sort after earlier ones. */
export function newId(): string {
  return uuidv7();
}

/** From `since` on, and before `until`. */
export interface TimeRange {
  since?: Date | undefined;
  until?: Date | undefined;
}

/** Ids carry the clock of the node that made them, and times that of the database: they may differ by so much. */
const SLACK_MS = 24 * 3_600_000;

/** Ids (UUIDv7, which begin with their time) that rows of a time range can have; the times are still to be checked. */
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
