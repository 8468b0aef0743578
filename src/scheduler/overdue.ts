/** Measures whether the schedulers keep up: by this process's own beats, and by the progress of all schedulers. */
import { cronJobs } from "../jobs/cron-jobs.ts";
import type { Database } from "../postgres/client.ts";
import { parseCron } from "../time/cron.ts";
import { dueSlots, nextSlots } from "../time/slots.ts";
import { readClock } from "./progress.ts";

/** Times in ms. The first two are null when this process is no scheduler; the last is null when no slot is overdue. */
export interface SchedulerNumbers {
  /** Time since this process's last successful beat. */
  sinceLastBeat: number | null;
  /** How late this process's latest beat began. */
  beatLateness: number | null;
  /** How long the oldest slot without a row, of any job, has been due. */
  oldestOverdue: number | null;
}

/** The beats of this process. */
interface Beats {
  sinceLastBeat(): number;
  beatLateness(): number;
}

/** While the progress is less than this behind (ms), a scheduler is running and no slot is overdue. */
const IN_TIME_MS = 2_000;

/**
 * Creates a function that measures the numbers.
 * @param beats undefined when this process is no scheduler
 */
export function watchScheduler(
  db: Database,
  beats: Beats | undefined,
  { defaultTimezone }: { defaultTimezone: string },
): () => Promise<SchedulerNumbers> {
  // The next slot is cached while progress and definitions stay the same: anybody may call this, and often.
  let known: { progress: string; next: Date | undefined } | undefined;
  const oldestOverdue = async (): Promise<number | null> => {
    const { now, version, slotsUntil } = await readClock(db.prisma);
    if (slotsUntil === null || now.getTime() - slotsUntil.getTime() < IN_TIME_MS) return null;
    const progress = `${version} ${slotsUntil.getTime()}`;
    if (known?.progress !== progress)
      known = { progress, next: await nextSlot(db, slotsUntil, defaultTimezone) };
    const { next } = known;
    return next === undefined || next > now ? null : now.getTime() - next.getTime();
  };
  return async () => ({
    sinceLastBeat: beats === undefined ? null : beats.sinceLastBeat(),
    beatLateness: beats === undefined ? null : beats.beatLateness(),
    oldestOverdue: await oldestOverdue(),
  });
}

/** Returns the first slot, of any job that is not paused, after `slotsUntil`. */
async function nextSlot(db: Database, slotsUntil: Date, defaultTimezone: string): Promise<Date | undefined> {
  let first: Date | undefined;
  for (const job of await cronJobs(db.prisma)) {
    if (job.paused !== null) continue;
    const after = job.since > slotsUntil ? job.since : slotsUntil;
    const zone = job.timezone ?? job.scheduleTimezone ?? defaultTimezone;
    const query = { crons: job.cron.map(parseCron), zone, after };
    const [slot] =
      first === undefined
        ? nextSlots({ ...query, count: 1 })
        : dueSlots({ ...query, until: first, limit: 1 });
    first = slot ?? first;
  }
  return first;
}
