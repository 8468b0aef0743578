/** When each cron job is due next: small, in memory, and equal to the database within a beat. */
import { type Cron, parseCron } from "../core/cron.ts";
import { dueSlots, nextSlots } from "../core/slots.ts";
import type { CronJob } from "../db/slots.ts";
import type { DueSlot } from "../orchestrator/trigger-run.ts";

interface Entry {
  revisionId: string;
  crons: Cron[];
  zone: string;
  /** Slots up to here have been handed out. */
  after: Date;
  next: Date | undefined;
  /** Slots of the revision before this one that had come, but had not been handed out. */
  leftover: Date[];
}

/** A gap between beats that is longer than this (ms) is no longer a late beat. */
const LATE_BEAT_MS = 60_000;
/** How far a gap is searched for its last slot. */
const SEARCHED_SLOTS = 1_000;

export interface DueTable {
  /** Follows the database: new revisions begin when they were written, but not before `start`. */
  load(jobs: readonly CronJob[], start: Date): void;
  /** The slots that have come up to `now` and are not behind us yet. */
  due(now: Date): DueSlot[];
  /** Puts everything up to `now` behind us, once its runs are made. */
  pass(now: Date): void;
}

/** @param defaultTimezone the zone of jobs and schedules that name none */
export function createDueTable(defaultTimezone: string): DueTable {
  let entries = new Map<string, Entry>();
  return {
    load(jobs, start) {
      const before = entries;
      entries = new Map(
        jobs.map((job) => [job.id, entryOf(job, defaultTimezone, start, before.get(job.id))]),
      );
    },
    due(now) {
      return [...entries].flatMap(([jobId, entry]) => {
        const slots = [...entry.leftover, ...(isDue(entry, now) ? slotsUpTo(entry, now) : [])];
        return slots.map((scheduledFor) => ({ jobId, scheduledFor }));
      });
    },
    pass(now) {
      for (const entry of entries.values()) {
        entry.leftover = [];
        if (isDue(entry, now)) moveTo(entry, now);
      }
    },
  };
}

/** All slots of the last minute; of a longer gap that has none there, the last one. */
function slotsUpTo({ crons, zone, after }: Entry, until: Date): Date[] {
  const recent = new Date(Math.max(after.getTime(), until.getTime() - LATE_BEAT_MS));
  const slots = dueSlots({ crons, zone, after: recent, until });
  return slots.length > 0 ? slots : dueSlots({ crons, zone, after, until, limit: SEARCHED_SLOTS }).slice(-1);
}

function isDue(entry: Entry, now: Date): boolean {
  return entry.next !== undefined && entry.next <= now;
}

function entryOf(job: CronJob, defaultTimezone: string, start: Date, before: Entry | undefined): Entry {
  const zone = job.timezone ?? job.scheduleTimezone ?? defaultTimezone;
  if (before?.revisionId === job.revisionId && before.zone === zone) return before;
  const after = new Date(Math.max(start.getTime(), job.since.getTime(), before?.after.getTime() ?? 0));
  const entry: Entry = {
    revisionId: job.revisionId,
    crons: job.cron.map(parseCron),
    zone,
    after,
    next: undefined,
    leftover: before === undefined ? [] : [...before.leftover, ...slotsUpTo(before, after)],
  };
  moveTo(entry, after);
  return entry;
}

function moveTo(entry: Entry, after: Date): void {
  entry.after = after;
  entry.next = nextSlots({ crons: entry.crons, zone: entry.zone, after, count: 1 })[0];
}
