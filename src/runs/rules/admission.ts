/** Decides whether a new run starts, waits or is skipped, and how much later than its slot a cron run starts. */
import { type Concurrency, MAX_WAITING } from "../../jobs/rules/definition.ts";
import type { Trigger } from "./states.ts";

/** How many runs of a job are active. */
export interface Occupancy {
  /** Running, retrying, or queued with a message: each holds a place. */
  holding: number;
  /** Queued, with or without a place. */
  waiting: number;
  /** Those of them that cron triggered. */
  waitingCron: number;
}

export type Admission =
  | { admit: "start" }
  | { admit: "wait" }
  /** The run is recorded and never runs. */
  | { admit: "skip"; reason: string }
  /** The caller gets an error. */
  | { admit: "refuse" };

/** Decides about one more run, by promise 11 and the limit of the job. */
export function admitRun(occupancy: Occupancy, { limit, policy }: Concurrency, trigger: Trigger): Admission {
  // The newest run replaces whatever waits.
  if (policy !== "replace" && trigger === "cron" && occupancy.waitingCron > 0) {
    return { admit: "skip", reason: "another cron run of this job is already waiting" };
  }
  if (occupancy.waiting >= MAX_WAITING) {
    const isAsked = trigger === "api" || trigger === "rerun";
    return isAsked
      ? { admit: "refuse" }
      : { admit: "skip", reason: `${MAX_WAITING} runs of this job are already waiting` };
  }
  if (limit === null || occupancy.holding < limit) return { admit: "start" };
  switch (policy) {
    case "queue":
    case "replace":
      return { admit: "wait" };
    case "skip":
      return {
        admit: "skip",
        reason: `the job has reached its limit of ${limit} active ${limit === 1 ? "run" : "runs"}`,
      };
  }
}

/** The occupancy after an admission. */
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

/** A delay from 0 to `maxMs` (ms), both included, which depends only on the job and the slot (FNV-1a). */
export function slotJitterMs(jobId: string, slot: Date, maxMs: number): number {
  let hash = FNV_OFFSET;
  for (const character of `${jobId} ${slot.getTime()}`) {
    hash = Math.imul(hash ^ character.charCodeAt(0), FNV_PRIME) >>> 0;
  }
  // The low bits of FNV-1a are poorly mixed: another round mixes them.
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  return Math.floor((((mixed ^ (mixed >>> 12)) >>> 0) / 2 ** 32) * (maxMs + 1));
}
