/** Queries of how far the schedulers have come: the time up to which every slot has its row. */
import type { Tx } from "../postgres/client.ts";

/** What a beat goes by. */
export interface Clock {
  /** The database's. */
  now: Date;
  /** Grows with every save of a definition. */
  version: bigint;
  /** Every slot up to here has its row; null: no scheduler has ever been up. */
  slotsUntil: Date | null;
}

export async function readClock(tx: Tx): Promise<Clock> {
  const [row] = await tx.$queryRaw<Clock[]>`
    SELECT now() AS now, coalesce((SELECT version FROM definition_version), 0) AS version,
      (SELECT slots_until FROM scheduler_progress) AS "slotsUntil"`;
  if (row === undefined) throw new Error("the database did not tell its time");
  return row;
}

/** Lets one scheduler at a time look after what was missed, until its transaction ends. */
export async function lockProgress(tx: Tx): Promise<void> {
  await tx.$queryRaw`SELECT id FROM scheduler_progress FOR UPDATE`;
}

/** Every slot up to `until` has its row; a scheduler that is behind another takes nothing back. */
export async function advanceProgress(tx: Tx, until: Date): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO scheduler_progress (id, slots_until) VALUES (1, ${until})
    ON CONFLICT (id) DO UPDATE SET slots_until = excluded.slots_until
    WHERE scheduler_progress.slots_until < excluded.slots_until`;
}

/**
 * Takes progress back to the present when the clock had been ahead, together with the slots that were recorded as
 * missed though they have not come yet.
 */
export async function turnBackProgress(tx: Tx, now: Date): Promise<void> {
  await tx.schedulerProgress.updateMany({ where: { slotsUntil: { gt: now } }, data: { slotsUntil: now } });
  await tx.run.deleteMany({ where: { state: "missed", scheduledFor: { gt: now } } });
}
