/** When each cron job is due next: small, in memory, and equal to the database within a beat. */

import { setImmediate as letOthersRun } from "node:timers/promises";
import type { CronJob } from "../jobs/cron-jobs.ts";
import { pausedReason } from "../runs/rules/missed.ts";
import type { DueSlot } from "../runs/trigger.ts";
import { type Cron, parseCron } from "../time/cron.ts";
import { dueSlots, nextSlots } from "../time/slots.ts";
import type { PausedSlots } from "./missed-slots.ts";

/** When jobs with equal expressions in one zone are due: many jobs have the same. */
interface Timetable {
  crons: Cron[];
  zone: string;
  /** The first slot after a time; the answer to the latest question is kept. */
  nextAfter(after: number): number;
}

/** Times are in ms since the epoch. */
interface Entry {
  revisionId: string;
  timetable: Timetable;
  paused: CronJob["paused"];
  /** Slots up to here have been handed out. */
  after: number;
  next: number;
  /** Slots of what the job said before that had come, but had not been handed out. */
  leftover: Omit<DueSlot, "jobId">[];
  /** No beat of ours has seen to it yet; what other schedulers have done may not have been for it. */
  fresh: boolean;
}

/** So long (ms) the table keeps the event loop for itself. */
const TURN_MS = 5;

/**
 * A save may become visible so much later (ms) than the time that it bears, which is longer than a transaction may
 * take: the slots of a job that has just changed count from its change, even those that a beat has passed since.
 */
const SAVE_MS = 60_000;

export interface DueSlots {
  due: DueSlot[];
  paused: PausedSlots[];
}

export interface DueTable {
  /** Follows the database: what is new begins when it was written, but not before `done` nor after `now`. */
  load(jobs: readonly CronJob[], done: Date, now: Date): Promise<void>;
  /** The slots that have come up to `now` and are not behind us yet. */
  due(now: Date): DueSlots;
  /** Puts everything up to `until` behind us, once it has its rows. */
  pass(until: Date): Promise<void>;
  /** Leaves out what other schedulers have done. */
  skip(done: Date): Promise<void>;
  /** Goes back to `now`, for a clock that had been ahead. */
  turnBack(now: Date): Promise<void>;
}

/**
 * What takes long is done in turns with others on the event loop; a call must not begin before the one before has ended.
 * @param defaultTimezone the zone of jobs and schedules that name none
 */
export function createDueTable(defaultTimezone: string): DueTable {
  let entries = new Map<string, Entry>();
  let timetables = new Map<string, Timetable>();
  return {
    async load(jobs, done, now) {
      const [loaded, used] = [new Map<string, Entry>(), new Map<string, Timetable>()];
      await inTurns(jobs, (job) => {
        const zone = job.timezone ?? job.scheduleTimezone ?? defaultTimezone;
        const key = JSON.stringify([zone, job.cron]);
        const timetable = used.get(key) ?? timetables.get(key) ?? createTimetable(job.cron, zone);
        used.set(key, timetable);
        loaded.set(job.id, entryOf(job, timetable, beginOf(job, done, now), entries.get(job.id)));
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
    pass(until) {
      return inTurns(entries.values(), (entry) => {
        entry.leftover = [];
        entry.fresh = false;
        if (entry.next <= until.getTime()) moveTo(entry, until.getTime());
      });
    },
    skip(done) {
      return inTurns(entries.values(), (entry) => {
        if (!entry.fresh && entry.next <= done.getTime()) moveTo(entry, done.getTime());
      });
    },
    turnBack(now) {
      return inTurns(entries.values(), (entry) => {
        if (entry.after > now.getTime()) moveTo(entry, now.getTime());
      });
    },
  };
}

async function inTurns<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
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

function beginOf({ since }: CronJob, done: Date, now: Date): number {
  const isNew = since.getTime() > done.getTime() - SAVE_MS;
  return Math.min(now.getTime(), isNew ? since.getTime() : done.getTime());
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
  return { revisionId, timetable, paused, after, next: timetable.nextAfter(after), leftover, fresh: true };
}

/** A slot that came in a pause makes no run, though the pause is over. */
function leftoverOf(before: Entry, until: number): Entry["leftover"] {
  const missed = before.paused === null ? {} : { missed: pausedReason(before.paused) };
  return slotsUpTo(before, until).map((scheduledFor) => ({ scheduledFor, ...missed }));
}

function moveTo(entry: Entry, after: number): void {
  entry.after = after;
  entry.next = entry.timetable.nextAfter(after);
}
