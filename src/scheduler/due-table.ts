/** When each cron job is due next: small, in memory, and equal to the database within a beat. */
import { type Cron, parseCron } from "../core/cron.ts";
import { pausedReason } from "../core/missed-slots.ts";
import { dueSlots, nextSlots } from "../core/slots.ts";
import type { CronJob } from "../db/slots.ts";
import type { PausedSlots } from "../orchestrator/missed-slots.ts";
import type { DueSlot } from "../orchestrator/trigger-run.ts";

interface Entry {
  revisionId: string;
  crons: Cron[];
  zone: string;
  paused: CronJob["paused"];
  /** Slots up to here have been handed out. */
  after: Date;
  next: Date | undefined;
  /** Slots of what the job said before that had come, but had not been handed out. */
  leftover: Omit<DueSlot, "jobId">[];
  /** No beat of ours has seen to it yet; what other schedulers have done may not have been for it. */
  fresh: boolean;
}

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
  load(jobs: readonly CronJob[], done: Date, now: Date): void;
  /** The slots that have come up to `now` and are not behind us yet. */
  due(now: Date): DueSlots;
  /** Puts everything up to `until` behind us, once it has its rows. */
  pass(until: Date): void;
  /** Leaves out what other schedulers have done. */
  skip(done: Date): void;
  /** Goes back to `now`, for a clock that had been ahead. */
  turnBack(now: Date): void;
}

/** @param defaultTimezone the zone of jobs and schedules that name none */
export function createDueTable(defaultTimezone: string): DueTable {
  let entries = new Map<string, Entry>();
  return {
    load(jobs, done, now) {
      const before = entries;
      entries = new Map(
        jobs.map((job) => {
          const zone = job.timezone ?? job.scheduleTimezone ?? defaultTimezone;
          return [job.id, entryOf(job, zone, beginOf(job, done, now), before.get(job.id))];
        }),
      );
    },
    due(now) {
      const slots: DueSlots = { due: [], paused: [] };
      for (const [jobId, entry] of entries) {
        const { paused } = entry;
        const recent = isDue(entry, now) ? slotsUpTo(entry, now) : [];
        slots.due.push(...entry.leftover.map((slot) => ({ jobId, ...slot })));
        if (paused === null) slots.due.push(...recent.map((scheduledFor) => ({ jobId, scheduledFor })));
        else if (recent.length > 0) slots.paused.push({ jobId, paused, slots: recent });
      }
      return slots;
    },
    pass(until) {
      for (const entry of entries.values()) {
        entry.leftover = [];
        entry.fresh = false;
        if (isDue(entry, until)) moveTo(entry, until);
      }
    },
    skip(done) {
      for (const entry of entries.values()) {
        if (!entry.fresh && isDue(entry, done)) moveTo(entry, done);
      }
    },
    turnBack(now) {
      for (const entry of entries.values()) {
        if (entry.after > now) moveTo(entry, now);
      }
    },
  };
}

function beginOf({ since }: CronJob, done: Date, now: Date): Date {
  const isNew = since.getTime() > done.getTime() - SAVE_MS;
  const begin = isNew ? since : done;
  return begin > now ? now : begin;
}

function slotsUpTo({ crons, zone, after }: Entry, until: Date): Date[] {
  return dueSlots({ crons, zone, after, until });
}

function isDue(entry: Entry, now: Date): boolean {
  return entry.next !== undefined && entry.next <= now;
}

function entryOf(job: CronJob, zone: string, after: Date, before: Entry | undefined): Entry {
  const { revisionId, paused } = job;
  const isSame = before?.revisionId === revisionId && before.zone === zone;
  if (isSame && before.paused?.at.getTime() === paused?.at.getTime()) return before;
  const leftover = before === undefined ? [] : [...before.leftover, ...leftoverOf(before, after)];
  const crons = isSame ? before.crons : job.cron.map(parseCron);
  const entry = { revisionId, crons, zone, paused, after, next: undefined, leftover, fresh: true };
  moveTo(entry, after);
  return entry;
}

/** A slot that came in a pause makes no run, though the pause is over. */
function leftoverOf(before: Entry, until: Date): Entry["leftover"] {
  const missed = before.paused === null ? {} : { missed: pausedReason(before.paused) };
  return slotsUpTo(before, until).map((scheduledFor) => ({ scheduledFor, ...missed }));
}

function moveTo(entry: Entry, after: Date): void {
  entry.after = after;
  entry.next = nextSlots({ crons: entry.crons, zone: entry.zone, after, count: 1 })[0];
}
