/** Decides which missed slots run late and which are recorded: slots of a gap between beats, and of a paused job. */
import type { MissedRuns } from "../../jobs/rules/definition.ts";

/** The most rows that one gap or one pause creates for one job. */
export const MAX_MISSED = 100;

/** The reason of a slot in a gap: no scheduler was up, or the database was away. */
export const NOBODY_UP = "no scheduler could make its run in time";

/** The newest slots of one period, ascending, and how many earlier ones are not listed. */
export interface PassedSlots {
  slots: readonly Date[];
  earlier: number;
}

/** A slot that has passed: it gets a late run, or is recorded as missed. */
export interface PassedSlot {
  scheduledFor: Date;
  catchUp: boolean;
  /** Why it is missed, and how many slots before it are left out. */
  reason: string | undefined;
}

/** How a job treats slots that have passed. */
export interface MissedRule {
  policy: MissedRuns["policy"];
  /** The definition before this time is unknown: slots up to it are recorded and never run late. */
  since: Date;
  /** Set while the job is paused: why its slots are missed. None of them runs late. */
  paused: string | undefined;
}

/**
 * One row for each of the newest {@link MAX_MISSED} slots of all periods; the oldest row says how many are left out.
 * @param stretches in order
 */
export function decideMissed(stretches: readonly PassedSlots[], rule: MissedRule): PassedSlot[] {
  const all = stretches.flatMap(({ slots }) => slots);
  const kept = all.slice(-MAX_MISSED);
  const earlier = stretches.reduce((sum, stretch) => sum + stretch.earlier, all.length - kept.length);
  return kept.map((scheduledFor, index) => {
    const isNewest = index === kept.length - 1;
    const catchUp = scheduledFor > rule.since && rule.paused === undefined && runs(rule.policy, isNewest);
    const why = scheduledFor > rule.since ? (rule.paused ?? NOBODY_UP) : NOBODY_UP;
    const reasons = [...(catchUp ? [] : [why]), ...(index === 0 ? leftOut(earlier) : [])];
    return { scheduledFor, catchUp, reason: reasons.length === 0 ? undefined : reasons.join("; ") };
  });
}

function runs(policy: MissedRuns["policy"], isNewest: boolean): boolean {
  switch (policy) {
    case "skip":
      return false;
    case "last":
      return isNewest;
    case "all":
      return true;
  }
}

function leftOut(slots: number): string[] {
  if (slots === 0) return [];
  return [
    `${slots} earlier slot${slots === 1 ? " is" : "s are"} left out: no more than ${MAX_MISSED} are kept`,
  ];
}

/** Who paused a job, and why. */
interface PauseNote {
  by: string | null;
  reason: string | null;
}

/** Why the slot of a paused job is missed. */
export function pausedReason({ by, reason }: PauseNote): string {
  return `the job is paused${by === null ? "" : ` by ${by}`}${reason === null ? "" : `: ${reason}`}`;
}

/**
 * One row for each of the first {@link MAX_MISSED} slots of a pause; the last one says that no more are recorded.
 * @param recorded how many rows this pause has already
 */
export function decidePaused(slots: readonly Date[], reason: string, recorded: number): PassedSlot[] {
  return slots.slice(0, Math.max(0, MAX_MISSED - recorded)).map((scheduledFor, index) => {
    const isLast = recorded + index + 1 === MAX_MISSED;
    const more = isLast ? "; slots after this one are not recorded while it is paused" : "";
    return { scheduledFor, catchUp: false, reason: `${reason}${more}` };
  });
}
