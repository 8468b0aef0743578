/** Decides which missed slots run late and which are only recorded, for gaps between beats and for paused jobs. */
import type { MissedRuns } from "../../jobs/rules/definition.ts";

/** The most slots of one job for one gap or one pause that have rows of their own. One more row counts the others. */
export const MAX_MISSED = 100;

/** The reason for a slot in a gap: no scheduler was running, or the database was away. */
export const NO_SCHEDULER_REASON = "no scheduler could create its run in time";

/** Slots that one row counts together. */
export interface SlotCount {
  count: number;
  first: Date;
  last: Date;
}

/** The slots of one period. */
export interface PassedSlots {
  /** The newest slots within the catch-up window, oldest first. */
  slots: readonly Date[];
  /** The slots before them. */
  older: SlotCount | undefined;
}

/** A row of passed slots: one that runs late, one that is missed, or several that are missed together. */
export interface PassedSlot {
  /** The slot; of several slots, the last one. */
  scheduledFor: Date;
  catchUp: boolean;
  /** Why it is missed, and how many slots the row counts; undefined: it runs late. */
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
 * Returns a row for each of the newest {@link MAX_MISSED} slots within the catch-up window, and before them one row for
 * all slots that are older.
 * @param periods oldest first
 */
export function decideMissed(periods: readonly PassedSlots[], rule: MissedRule): PassedSlot[] {
  const all = periods.flatMap(({ slots }) => slots);
  const kept = all.slice(-MAX_MISSED);
  const whyMissed = (slot: Date) => (slot > rule.since && rule.paused) || NO_SCHEDULER_REASON;
  const older = sumOf([
    ...periods.flatMap((period) => period.older ?? []),
    ...all.slice(0, -MAX_MISSED).map((slot) => ({ count: 1, first: slot, last: slot })),
  ]);
  const rows = kept.map((scheduledFor, index) => {
    const isNewest = index === kept.length - 1;
    const catchUp = scheduledFor > rule.since && rule.paused === undefined && runsLate(rule.policy, isNewest);
    return { scheduledFor, catchUp, reason: catchUp ? undefined : whyMissed(scheduledFor) };
  });
  if (older === undefined) return rows;
  const why = whyMissed(older.last);
  const reason = older.count === 1 ? why : countNote(older, "older", why);
  return [{ scheduledFor: older.last, catchUp: false, reason }, ...rows];
}

function sumOf(counts: readonly SlotCount[]): SlotCount | undefined {
  if (counts.length === 0) return undefined;
  return {
    count: counts.reduce((sum, { count }) => sum + count, 0),
    first: new Date(Math.min(...counts.map(({ first }) => first.getTime()))),
    last: new Date(Math.max(...counts.map(({ last }) => last.getTime()))),
  };
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

/** `12 older slots left out, 2026-03-01T00:01:00Z to 2026-03-01T00:12:00Z; WHY` */
function countNote({ count, first, last }: SlotCount, which: "older" | "more", why: string): string {
  const [slots, end] = count === 1 ? ["slot", ""] : ["slots", ` to ${formatSlot(last)}`];
  return `${count} ${which} ${slots} left out, ${formatSlot(first)}${end}; ${why}`;
}

/** Slots are whole seconds. */
function formatSlot(slot: Date): string {
  return slot.toISOString().replace(".000Z", "Z");
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
 * Splits the slots of a pause: the first {@link MAX_MISSED} have rows of their own, one row counts the others.
 * @param recorded how many rows of this pause exist already
 */
export function splitPaused(slots: readonly Date[], recorded: number): { own: Date[]; counted: Date[] } {
  const room = Math.max(0, MAX_MISSED - recorded);
  return { own: slots.slice(0, room), counted: slots.slice(room) };
}

/** The newest row of a job's slots. */
export interface NewestRow {
  scheduledFor: Date;
  reason: string | null;
}

/**
 * Returns the row that counts further slots of a pause: `continues` says whether it takes the place of `newest`, which
 * counts the slots before. Returns undefined if all slots have been counted.
 * @param slots ascending
 */
export function countPaused(
  newest: NewestRow | undefined,
  slots: readonly Date[],
  why: string,
): (PassedSlot & { continues: boolean }) | undefined {
  const further = newest === undefined ? slots : slots.filter((slot) => slot > newest.scheduledFor);
  const [first, last] = [further[0], further.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const counted = newest && slotsCountedIn(newest);
  const sum = sumOf([...(counted ? [counted] : []), { count: further.length, first, last }]);
  const reason = sum && countNote(sum, "more", why);
  return { scheduledFor: last, catchUp: false, reason, continues: counted !== undefined };
}

function slotsCountedIn({ reason, scheduledFor }: NewestRow): SlotCount | undefined {
  const note = readNote(reason);
  return note?.which === "more" ? { ...note, last: scheduledFor } : undefined;
}

/** Returns the first of several slots that a row counts, given its reason; undefined: the row is about one slot. */
export function firstCounted(reason: string | null): Date | undefined {
  return readNote(reason)?.first;
}

/** Reads back what {@link countNote} has written. */
function readNote(reason: string | null) {
  const [, count, which, first] =
    /^(\d+) (older|more) slots? left out, (\S+?)(?:;| to) /.exec(reason ?? "") ?? [];
  return first === undefined ? undefined : { count: Number(count), which, first: new Date(first) };
}
