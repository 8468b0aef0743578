/** One beat: the slots that have come become runs, those that came while nobody was up become what their job says. */
import type { Logger } from "pino";
import type { Infra } from "../infra.ts";
import { cronJobs } from "../jobs/cron-jobs.ts";
import { triggerSlots } from "../runs/trigger.ts";
import { createDueTable } from "./due-table.ts";
import { missedByPause, recordGap } from "./missed-slots.ts";
import { advanceProgress, type Clock, readClock, turnBackProgress } from "./progress.ts";

/**
 * A time without beats that is longer (ms) is a gap. A restart takes less, and its slots are ordinary runs, a little
 * late; nobody wants to lose the nightly job to it.
 */
const GAP_MS = 10_000;
/** A beat may take so much longer (ms) before the next one calls that a gap. */
const MAX_BUSY_MS = 60_000;
/** Slots of the last second before a beat are those that it comes for. */
const BEAT_MS = 1_000;

/**
 * Makes the function that does one beat and returns the time it went by. It rejects when the database refuses; the next
 * beat then makes up for it.
 * @param options `clock`: what a beat goes by; tests give their own
 */
export function createBeat(
  infra: Infra,
  options: { defaultTimezone: string; log: Logger; clock?: () => Promise<Clock> },
): () => Promise<Date> {
  const { db } = infra;
  const { log, clock = () => readClock(db.prisma) } = options;
  const table = createDueTable(options.defaultTimezone);
  let version: bigint | undefined;
  let latest: Date | undefined;
  /** What the beat before took (ms): a scheduler that has much to do is no gap. */
  let busyMs = 0;

  /** Where the slots of this beat begin, once a clock that had been ahead has been put right. */
  const begin = async ({ now, slotsUntil }: Clock): Promise<Date> => {
    const limit = new Date(now.getTime() + GAP_MS);
    if (latest !== undefined && latest > limit) await table.turnBack(now);
    latest = now;
    if (slotsUntil === null || slotsUntil <= limit) return slotsUntil ?? now;
    log.warn(
      { now, slotsUntil },
      "the database's clock was ahead; slots are counted from the present time again",
    );
    await db.transaction((tx) => turnBackProgress(tx, now));
    return now;
  };

  return async () => {
    const reading = await clock();
    const started = performance.now();
    const { now } = reading;
    const done = await begin(reading);
    const isGap = now.getTime() - done.getTime() > GAP_MS + busyMs;
    const from = isGap ? new Date(now.getTime() - BEAT_MS) : done;
    await table.skip(from);
    if (reading.version !== version) {
      await table.load(await cronJobs(db.prisma), from, now);
      version = reading.version;
    }
    if (isGap) {
      const rows = await recordGap(infra, { after: done, until: from }, options);
      log.warn(
        { from: done, until: from, rows },
        "the scheduler did not run for a while; the slots it missed are recorded",
      );
      await table.pass(from);
    }
    const { due, paused } = table.due(now);
    await triggerSlots(infra, [...due, ...(await missedByPause(db, paused))]);
    await table.pass(now);
    await advanceProgress(db.prisma, now);
    busyMs = Math.min(MAX_BUSY_MS, performance.now() - started);
    return now;
  };
}
