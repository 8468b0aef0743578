/** One beat of the scheduler: creates runs for due slots, and records the slots that passed while no scheduler ran. */
import type { Logger } from "pino";
import type { Infra } from "../infra.ts";
import { cronJobs } from "../jobs/cron-jobs.ts";
import { triggerSlots } from "../runs/trigger.ts";
import { createDueTable } from "./due-table.ts";
import { recordGap } from "./missed-slots.ts";
import { countPausedSlots, missedByPause } from "./paused-slots.ts";
import { advanceProgress, type ClockReading, readClock, turnBackProgress } from "./progress.ts";

/**
 * A longer time without a beat (ms) is a gap, whose slots follow `missed_runs`. A restart is shorter: its slots become
 * ordinary runs, a little late, so that a restart never skips the nightly job.
 */
const GAP_MS = 10_000;
/** The time (ms) that a slow beat may add to the threshold of a gap. */
const MAX_BUSY_MS = 60_000;
/** After a gap, the slots of the last second (ms) are not missed: this beat creates their runs. */
const BEAT_MS = 1_000;

/**
 * Creates the function that does one beat and returns the database's time at its start. The function rejects when the
 * database fails; the next beat then catches up.
 * @param options `clock` reads the time and the progress; tests inject their own
 */
export function createBeat(
  infra: Infra,
  options: { defaultTimezone: string; log: Logger; clock?: () => Promise<ClockReading> },
): () => Promise<Date> {
  const { db } = infra;
  const { log, clock = () => readClock(db.prisma) } = options;
  const table = createDueTable(options.defaultTimezone);
  let version: bigint | undefined;
  let latest: Date | undefined;
  /** How long the previous beat took (ms): a busy scheduler is not a gap. */
  let busyMs = 0;

  /** Returns the time after which this beat's slots begin. Turns the progress back when the clock had been ahead. */
  const startOfSlots = async ({ now, slotsUntil }: ClockReading): Promise<Date> => {
    const limit = new Date(now.getTime() + GAP_MS);
    const wasAhead = latest !== undefined && latest > limit;
    latest = now;
    let start = slotsUntil ?? now;
    if (start > limit) {
      log.warn(
        { now, slotsUntil },
        "the database's clock had been ahead; the scheduler continues from the present time",
      );
      start = await db.transaction((tx) => turnBackProgress(tx, now));
    }
    if (wasAhead) await table.turnBack(start < now ? start : now);
    return start;
  };

  return async () => {
    const reading = await clock();
    const started = performance.now();
    const { now } = reading;
    const done = await startOfSlots(reading);
    const isGap = now.getTime() - done.getTime() > GAP_MS + busyMs;
    const from = isGap ? new Date(now.getTime() - BEAT_MS) : done;
    await table.skipTo(from);
    if (reading.version !== version) {
      await table.load(await cronJobs(db.prisma), from, now);
      version = reading.version;
    }
    if (isGap) {
      const rows = await recordGap(infra, { after: done, until: from }, options);
      logGap(log, { from: done, until: from, rows });
      await table.markDone(from);
    }
    const { due, paused } = table.due(now);
    const { own, counted } = await missedByPause(db, paused);
    await triggerSlots(infra, [...due, ...own]);
    await countPausedSlots(infra, counted);
    await table.markDone(now);
    await advanceProgress(db.prisma, now);
    busyMs = Math.min(MAX_BUSY_MS, performance.now() - started);
    return now;
  };
}

/** Logs a gap. Only cron slots that passed in it deserve a warning. */
function logGap(log: Logger, gap: { from: Date; until: Date; rows: number }): void {
  if (gap.rows === 0) {
    log.info(gap, "no scheduler ran during this time, and no cron slot of it has to be recorded");
    return;
  }
  log.warn(
    gap,
    "no scheduler ran during this time; its cron slots are recorded as missed, or run late where missed_runs of the job says so",
  );
}
