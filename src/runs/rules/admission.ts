/** Decides whether a new run starts, waits or is skipped, and how long after its slot a cron run starts. */
import { type Concurrency, MAX_WAITING } from "../../jobs/rules/definition.ts";
import type { Trigger } from "./states.ts";

/** How many runs of a job are active. */
export interface Occupancy {
  /** Runs that hold a place: they are running, retrying, or queued with a message. */
  holding: number;
  /** Queued runs, with or without a place, without cron runs that wait out their jitter. */
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

/** Decides about one more run, from promise 11 and the concurrency limit of the job. */
export function admitRun(occupancy: Occupancy, { limit, policy }: Concurrency, trigger: Trigger): Admission {
  // With `replace`, the newest run replaces all waiting runs.
  if (policy !== "replace" && trigger === "cron" && occupancy.waitingCron > 0) {
    return { admit: "skip", reason: "another cron run of this job is already waiting" };
  }
  if (occupancy.waiting >= MAX_WAITING) {
    const isByCaller = trigger === "api" || trigger === "rerun";
    return isByCaller
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

/**
 * The occupancy after an admission.
 * @param isDelayed the run waits out its jitter first
 */
export function occupancyAfter(
  occupancy: Occupancy,
  { admit }: Admission,
  { trigger, isDelayed }: { trigger: Trigger; isDelayed: boolean },
): Occupancy {
  const starts = admit === "start" ? 1 : 0;
  const waits = !isDelayed && (admit === "start" || admit === "wait") ? 1 : 0;
  return {
    holding: occupancy.holding + starts,
    waiting: occupancy.waiting + waits,
    waitingCron: occupancy.waitingCron + (trigger === "cron" ? waits : 0),
  };
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * A delay from 0 to `maxMs` (ms), both included, which is the same on all nodes: a hash (FNV-1a) of the job and the
 * slot.
 */
export function slotJitterMs(jobId: string, slot: Date, maxMs: number): number {
  let hash = FNV_OFFSET;
  for (const character of `${jobId} ${slot.getTime()}`) {
    hash = Math.imul(hash ^ character.charCodeAt(0), FNV_PRIME) >>> 0;
  }
  // FNV-1a mixes its low bits poorly, so one more round follows.
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  return Math.floor((((mixed ^ (mixed >>> 12)) >>> 0) / 2 ** 32) * (maxMs + 1));
}
