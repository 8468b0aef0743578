/** Queries of the schedulers' progress: the time up to which every slot has its row. */
import type { Tx } from "../postgres/client.ts";
import { firstCounted } from "../runs/rules/missed.ts";

/** The database's time, and what a beat compares it with. */
export interface ClockReading {
  /** The time of the database's clock. */
  now: Date;
  /** Grows with every save of a definition. */
  version: bigint;
  /** Every slot up to this time has its row; null: no scheduler has ever run. */
  slotsUntil: Date | null;
}

/** Reads the database's clock, the version of the definitions and the progress in one query. */
export async function readClock(tx: Tx): Promise<ClockReading> {
  const [row] = await tx.$queryRaw<ClockReading[]>`
    SELECT now() AS now, coalesce((SELECT version FROM definition_version), 0) AS version,
      (SELECT slots_until FROM scheduler_progress) AS "slotsUntil"`;
  if (row === undefined) throw new Error("the database returned no time");
  return row;
}

/** Locks the progress until the transaction ends, so that one scheduler at a time records missed slots. */
export async function lockProgress(tx: Tx): Promise<void> {
  await tx.$queryRaw`SELECT id FROM scheduler_progress FOR UPDATE`;
}

/** Records that every slot up to `until` has its row. A scheduler that lags behind another one never moves it back. */
export async function advanceProgress(tx: Tx, until: Date): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO scheduler_progress (id, slots_until) VALUES (1, ${until})
    ON CONFLICT (id) DO UPDATE SET slots_until = excluded.slots_until
    WHERE scheduler_progress.slots_until < excluded.slots_until`;
}

/**
 * Moves the progress back after the clock had been ahead, and deletes the missed runs of slots that lie in the future
 * again. Where one of these counted slots that have passed, the progress moves back to the first of them, so that they
 * are recorded again.
 * @returns the new progress, at most `now`
 */
export async function turnBackProgress(tx: Tx, now: Date): Promise<Date> {
  const deleted = await tx.$queryRaw<{ reason: string | null }[]>`
    DELETE FROM run WHERE ended_as = 'missed' AND scheduled_for > ${now} RETURNING reason`;
  const counted = deleted.flatMap(({ reason }) => firstCounted(reason)?.getTime() ?? []);
  const slotsUntil = new Date(
    counted.reduce((earliest, first) => Math.min(earliest, first - 1), now.getTime()),
  );
  await tx.schedulerProgress.updateMany({ where: { slotsUntil: { gt: now } }, data: { slotsUntil } });
  return slotsUntil;
}
