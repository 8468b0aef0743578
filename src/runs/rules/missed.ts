/** Decides what becomes of slots that passed while nobody could make their runs, and of those of a paused job. */
import type { MissedRuns } from "../../jobs/rules/definition.ts";

/** Rows that one gap, or one pause, makes of one job. */
export const MAX_MISSED = 100;

/** No scheduler could make the run of such a slot: none was up, or the database was away. */
export const NOBODY_UP = "no scheduler could make its run in time";

/** Ascending slots of one stretch of time, and how many came before them that are not listed. */
export interface PassedSlots {
  slots: readonly Date[];
  earlier: number;
}

/** A slot that has passed: its run is made up for, or it is recorded as missed. */
export interface PassedSlot {
  scheduledFor: Date;
  catchUp: boolean;
  /** Why it is missed, and what was left out before it. */
  reason: string | undefined;
}

/** What a job says to slots that have passed. */
export interface MissedRule {
  policy: MissedRuns["policy"];
  /** What a slot up to here stood for is not known any more: it is recorded, and never made up for. */
  since: Date;
  /** Set while the job is paused: no slot is made up for. */
  paused: string | undefined;
}

/**
 * One row for each slot, the newest {@link MAX_MISSED} of all stretches; the oldest of them says how many came before.
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

/** Operator state of a job: who wants it so, and why. */
interface PauseNote {
  by: string | null;
  reason: string | null;
}

/** Why the slot of a paused job is missed. */
export function pausedReason({ by, reason }: PauseNote): string {
  return `the job is paused${by === null ? "" : ` by ${by}`}${reason === null ? "" : `: ${reason}`}`;
}

/**
 * The rows of slots that come while a job is paused: the first {@link MAX_MISSED} of a pause, of which the last says so.
 * @param recorded how many this pause has already
 */
export function decidePaused(slots: readonly Date[], reason: string, recorded: number): PassedSlot[] {
  return slots.slice(0, Math.max(0, MAX_MISSED - recorded)).map((scheduledFor, index) => {
    const isLast = recorded + index + 1 === MAX_MISSED;
    const more = isLast ? "; slots after this one are not recorded while it is paused" : "";
    return { scheduledFor, catchUp: false, reason: `${reason}${more}` };
  });
}
