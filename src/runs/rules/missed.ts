/** Decides which missed slots run late and which are only recorded, for gaps between beats and for paused jobs. */
import type { MissedRuns } from "../../jobs/rules/definition.ts";

/** The most rows of one job for one gap or one pause. */
export const MAX_MISSED = 100;

/** The reason for a slot in a gap: no scheduler was running, or the database was away. */
export const NO_SCHEDULER_REASON = "no scheduler could create its run in time";

/** The newest slots of one period, oldest first, and how many earlier slots are left out. */
export interface PassedSlots {
  slots: readonly Date[];
  earlier: number;
}

/** A slot that has passed: it runs late, or it is recorded as missed. */
export interface PassedSlot {
  scheduledFor: Date;
  catchUp: boolean;
  /** Why it is missed, and how many earlier slots are left out. */
  reason: string | undefined;
}

/** How to treat the passed slots of a job. */
export interface MissedRule {
  policy: MissedRuns["policy"];
  /** When the definition last changed. Slots up to this time are recorded as missed and never run late. */
  since: Date;
  /** Set while the job is paused: the reason for its slots. None of them runs late. */
  paused: string | undefined;
}

/**
 * Returns a row for each of the newest {@link MAX_MISSED} slots. The oldest row says how many slots are left out.
 * @param periods oldest first
 */
export function decideMissed(periods: readonly PassedSlots[], rule: MissedRule): PassedSlot[] {
  const all = periods.flatMap(({ slots }) => slots);
  const kept = all.slice(-MAX_MISSED);
  const earlier = periods.reduce((sum, period) => sum + period.earlier, all.length - kept.length);
  return kept.map((scheduledFor, index) => {
    const isNewest = index === kept.length - 1;
    const catchUp = scheduledFor > rule.since && rule.paused === undefined && runsLate(rule.policy, isNewest);
    const why = scheduledFor > rule.since ? (rule.paused ?? NO_SCHEDULER_REASON) : NO_SCHEDULER_REASON;
    const reasons = [...(catchUp ? [] : [why]), ...(index === 0 ? omissionNote(earlier) : [])];
    return { scheduledFor, catchUp, reason: reasons.length === 0 ? undefined : reasons.join("; ") };
  });
}

function runsLate(policy: MissedRuns["policy"], isNewest: boolean): boolean {
  switch (policy) {
    case "skip":
      return false;
    case "last":
      return isNewest;
    case "all":
      return true;
  }
}

function omissionNote(slots: number): string[] {
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
 * Returns a row for each of the first {@link MAX_MISSED} slots of a pause. The last row says that no more follow.
 * @param recorded how many rows of this pause exist already
 */
export function decidePaused(slots: readonly Date[], reason: string, recorded: number): PassedSlot[] {
  return slots.slice(0, Math.max(0, MAX_MISSED - recorded)).map((scheduledFor, index) => {
    const isLast = recorded + index + 1 === MAX_MISSED;
    const more = isLast ? "; slots after this one are not recorded while it is paused" : "";
    return { scheduledFor, catchUp: false, reason: `${reason}${more}` };
  });
}
