/** Tells whether slots are made in time, from any process: by the beats of its own, and by how far all have come. */
import { cronJobs } from "../jobs/cron-jobs.ts";
import type { Database } from "../postgres/client.ts";
import { parseCron } from "../time/cron.ts";
import { dueSlots, nextSlots } from "../time/slots.ts";
import { readClock } from "./progress.ts";

/** In ms; null where it is not known, or there is none. */
export interface SchedulerNumbers {
  /** Since this process's last beat that went well. */
  sinceLastBeat: number | null;
  /** How late its latest beat began. */
  beatLateness: number | null;
  /** How long the oldest slot without a row, of any job, has been due. */
  oldestOverdue: number | null;
}

/** The beats of this process. */
interface Beats {
  sinceLastBeat(): number;
  beatLateness(): number;
}

/** Schedulers that are up are never further behind (ms): nothing has to be looked for. */
const IN_TIME_MS = 2_000;

/** @param beats undefined where this process is no scheduler */
export function watchScheduler(
  db: Database,
  beats: Beats | undefined,
  { defaultTimezone }: { defaultTimezone: string },
): () => Promise<SchedulerNumbers> {
  // What stands still is looked at once: anybody may ask, as often as they like.
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

/** The first slot of any job after `slotsUntil`. */
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
