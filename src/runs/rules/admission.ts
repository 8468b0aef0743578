/** Whether a new run of a job may start, waits or is left out, and how much later than its slot a cron run starts. */
import { type Concurrency, MAX_WAITING } from "../../jobs/rules/definition.ts";
import type { Trigger } from "./states.ts";

/** The runs of a job that have not ended. */
export interface Occupancy {
  /** Running, retrying, or about to start: each holds a place. */
  holding: number;
  /** Not begun, with a place or without. */
  waiting: number;
  /** Those of them that cron made. */
  waitingCron: number;
}

export type Admission =
  | { admit: "start" }
  | { admit: "wait" }
  /** The run is recorded and never runs. */
  | { admit: "skip"; reason: string }
  /** The caller is told to come back later. */
  | { admit: "refuse" };

/** Decides about one more run: promise 11 and the job's own limit. */
export function admitRun(occupancy: Occupancy, { limit, policy }: Concurrency, trigger: Trigger): Admission {
  // The newest run replaces whatever waits.
  if (policy !== "replace" && trigger === "cron" && occupancy.waitingCron > 0) {
    return { admit: "skip", reason: "a cron run of this job waits already" };
  }
  if (occupancy.waiting >= MAX_WAITING) {
    const isAsked = trigger === "api" || trigger === "rerun";
    return isAsked
      ? { admit: "refuse" }
      : { admit: "skip", reason: `${MAX_WAITING} runs of this job wait already` };
  }
  if (limit === null || occupancy.holding < limit) return { admit: "start" };
  switch (policy) {
    case "queue":
    case "replace":
      return { admit: "wait" };
    case "skip":
      return {
        admit: "skip",
        reason: `${occupancy.holding} of at most ${limit} runs of this job go on already`,
      };
  }
}

/** The occupancy once a run has been admitted so. */
export function occupancyAfter(occupancy: Occupancy, { admit }: Admission, trigger: Trigger): Occupancy {
  const starts = admit === "start" ? 1 : 0;
  const waits = admit === "start" || admit === "wait" ? 1 : 0;
  return {
    holding: occupancy.holding + starts,
    waiting: occupancy.waiting + waits,
    waitingCron: occupancy.waitingCron + (trigger === "cron" ? waits : 0),
  };
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Milliseconds from 0 to `maxMs`, both included; which ones follows from the job and the slot (FNV-1a). */
export function slotJitterMs(jobId: string, slot: Date, maxMs: number): number {
  let hash = FNV_OFFSET;
  for (const character of `${jobId} ${slot.getTime()}`) {
    hash = Math.imul(hash ^ character.charCodeAt(0), FNV_PRIME) >>> 0;
  }
  // The low bits of one hash are poor; the high ones of another round are not.
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  return Math.floor((((mixed ^ (mixed >>> 12)) >>> 0) / 2 ** 32) * (maxMs + 1));
}
