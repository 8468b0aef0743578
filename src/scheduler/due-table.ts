/** Keeps in memory when each cron job is due next; follows the database within one beat. */

import { setImmediate as letOthersRun } from "node:timers/promises";
import type { CronJob } from "../jobs/cron-jobs.ts";
import { pausedReason } from "../runs/rules/missed.ts";
import type { DueSlot } from "../runs/trigger.ts";
import { type Cron, parseCron } from "../time/cron.ts";
import { dueSlots, nextSlots } from "../time/slots.ts";
import type { PausedSlots } from "./paused-slots.ts";

/** The slots of a set of cron expressions in one zone. Jobs with equal expressions share one timetable. */
interface Timetable {
  crons: Cron[];
  zone: string;
  /** Returns the first slot after a time; caches its latest answer. */
  nextAfter(after: number): number;
}

/** One cron job. Times are in ms since the epoch. */
interface Entry {
  revisionId: string;
  timetable: Timetable;
  paused: CronJob["paused"];
  /** Slots up to this time are done. */
  after: number;
  /** The next slot. */
  next: number;
  /** Slots of the job's earlier revisions or pauses that were due but not done when the job changed. */
  leftover: Omit<DueSlot, "jobId">[];
  /** No beat of this process has handled this revision yet, and other schedulers may not have known it. */
  isNew: boolean;
}

/** How long (ms) the table may block the event loop. */
const TURN_MS = 5;

/**
 * A save may become visible this much later (ms) than its own timestamp; no transaction lasts longer. The slots of a
 * job that was saved this recently count from its save, even where beats have passed since.
 */
const SAVE_MS = 60_000;

export interface DueSlots {
  due: DueSlot[];
  paused: PausedSlots[];
}

/** The methods may yield to the event loop, so a call must not start before the previous one has ended. */
export interface DueTable {
  /**
   * Takes over the jobs of the database. A changed job's slots begin after `done`, or after its save if that is recent,
   * but never after `now`.
   */
  load(jobs: readonly CronJob[], done: Date, now: Date): Promise<void>;
  /** Returns the slots up to `now` that are not done. */
  due(now: Date): DueSlots;
  /** Marks all slots up to `until` as done; they must have their rows. */
  markDone(until: Date): Promise<void>;
  /** Skips slots up to `done`, which other schedulers have handled. */
  skipTo(done: Date): Promise<void>;
  /** Turns all jobs back to `now`, after the clock had been ahead. */
  turnBack(now: Date): Promise<void>;
}

/**
 * Creates an empty table.
 * @param defaultTimezone the zone of jobs whose schedule names none either
 */
export function createDueTable(defaultTimezone: string): DueTable {
  let entries = new Map<string, Entry>();
  let timetables = new Map<string, Timetable>();
  return {
    async load(jobs, done, now) {
      const [loaded, used] = [new Map<string, Entry>(), new Map<string, Timetable>()];
      await forEachYielding(jobs, (job) => {
        const zone = job.timezone ?? job.scheduleTimezone ?? defaultTimezone;
        const key = JSON.stringify([zone, job.cron]);
        const timetable = used.get(key) ?? timetables.get(key) ?? createTimetable(job.cron, zone);
        used.set(key, timetable);
        loaded.set(job.id, entryOf(job, timetable, startOf(job, done, now), entries.get(job.id)));
      });
      [entries, timetables] = [loaded, used];
    },
    due(now) {
      const slots: DueSlots = { due: [], paused: [] };
      for (const [jobId, entry] of entries) {
        const { paused } = entry;
        const recent = slotsUpTo(entry, now.getTime());
        slots.due.push(...entry.leftover.map((slot) => ({ jobId, ...slot })));
        if (paused === null) slots.due.push(...recent.map((scheduledFor) => ({ jobId, scheduledFor })));
        else if (recent.length > 0) slots.paused.push({ jobId, paused, slots: recent });
      }
      return slots;
    },
    markDone(until) {
      return forEachYielding(entries.values(), (entry) => {
        entry.leftover = [];
        entry.isNew = false;
        if (entry.next <= until.getTime()) moveTo(entry, until.getTime());
      });
    },
    skipTo(done) {
      return forEachYielding(entries.values(), (entry) => {
        if (!entry.isNew && entry.next <= done.getTime()) moveTo(entry, done.getTime());
      });
    },
    turnBack(now) {
      return forEachYielding(entries.values(), (entry) => {
        if (entry.after > now.getTime()) moveTo(entry, now.getTime());
      });
    },
  };
}

/** Calls `work` for each item, and yields to the event loop from time to time. */
async function forEachYielding<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  let since = performance.now();
  for (const item of items) {
    work(item);
    if (performance.now() - since < TURN_MS) continue;
    await letOthersRun();
    since = performance.now();
  }
}

function createTimetable(cron: readonly string[], zone: string): Timetable {
  const crons = cron.map(parseCron);
  let latest = { after: Number.NaN, next: Number.NaN };
  return {
    crons,
    zone,
    nextAfter(after) {
      if (after !== latest.after) {
        const [next] = nextSlots({ crons, zone, after: new Date(after), count: 1 });
        latest = { after, next: next?.getTime() ?? Number.POSITIVE_INFINITY };
      }
      return latest.next;
    },
  };
}

/** The time after which a changed job's slots begin. */
function startOf({ since }: CronJob, done: Date, now: Date): number {
  const isRecent = since.getTime() > done.getTime() - SAVE_MS;
  return Math.min(now.getTime(), isRecent ? since.getTime() : done.getTime());
}

function slotsUpTo({ timetable, next }: Entry, until: number): Date[] {
  if (next > until) return [];
  const first = new Date(next);
  // Slots are whole seconds apart.
  if (until - next < 1_000) return [first];
  return [first, ...dueSlots({ ...timetable, after: first, until: new Date(until) })];
}

function entryOf(job: CronJob, timetable: Timetable, after: number, before: Entry | undefined): Entry {
  const { revisionId, paused } = job;
  const isSame = before?.revisionId === revisionId && before.timetable === timetable;
  if (isSame && before.paused?.at.getTime() === paused?.at.getTime()) return before;
  const leftover = before === undefined ? [] : [...before.leftover, ...leftoverOf(before, after)];
  return { revisionId, timetable, paused, after, next: timetable.nextAfter(after), leftover, isNew: true };
}

/** Slots that were due before the job changed. Those of a pause stay missed, even when the pause has ended. */
function leftoverOf(before: Entry, until: number): Entry["leftover"] {
  const missed = before.paused === null ? {} : { missed: pausedReason(before.paused) };
  return slotsUpTo(before, until).map((scheduledFor) => ({ scheduledFor, ...missed }));
}

function moveTo(entry: Entry, after: number): void {
  entry.after = after;
  entry.next = entry.timetable.nextAfter(after);
}
