/** Queries of retention: which runs are too old, and deleting those of them that nothing kept needs. */
import type { Tx } from "../postgres/client.ts";
import { Prisma } from "../postgres/generated/client.ts";

/** Lets one transaction at a time delete; answers whether this is the one. */
export async function tryRetentionLock(tx: Tx): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ locked: boolean }[]>`
    SELECT pg_try_advisory_xact_lock(hashtextextended('retention', 0)) AS locked`;
  return row?.locked === true;
}

/** A job of which runs that ended before a time are too old. */
export interface Expiry {
  jobId: string;
  endedBefore: Date;
}

/** The jobs, deleted ones too, that have runs which are older than the job's or else its schedule's retention. */
export async function expiries(tx: Tx, now: Date): Promise<Expiry[]> {
  // Counted in seconds since the epoch: a retention of a thousand centuries leads to no date that Postgres has.
  return tx.$queryRaw<Expiry[]>`
    SELECT kept.job_id AS "jobId", kept.since AS "endedBefore"
    FROM (
      SELECT j.id AS job_id, to_timestamp(greatest(0, (${now.getTime()}::float8 - ms.value) / 1000)) AS since
      FROM job j JOIN job_revision v ON v.id = j.current_revision_id JOIN schedule s ON s.id = j.schedule_id
      CROSS JOIN coalesce(v.log_retention_ms, s.log_retention_ms) AS ms (value)
      WHERE ms.value IS NOT NULL
    ) kept
    WHERE EXISTS (SELECT 1 FROM run WHERE run.job_id = kept.job_id AND run.finished_at < kept.since)`;
}

/** Where a page of ended runs begins: after this one. */
export interface EndedRun {
  id: string;
  finishedAt: Date;
}

/** Up to `limit` runs of a job that are too old, by their end. */
export async function expiredRuns(
  tx: Tx,
  { jobId, endedBefore }: Expiry,
  after: EndedRun | undefined,
  limit: number,
): Promise<EndedRun[]> {
  const rest = after
    ? Prisma.sql`AND (finished_at, id) > (${after.finishedAt}, ${after.id}::uuid)`
    : Prisma.empty;
  return tx.$queryRaw<EndedRun[]>`
    SELECT id, finished_at AS "finishedAt" FROM run
    WHERE job_id = ${jobId}::uuid AND finished_at < ${endedBefore} ${rest}
    ORDER BY finished_at, id LIMIT ${limit}`;
}

/**
 * Deletes those of the ended runs that nothing needs, with all that belongs to them; answers how many. A run stays
 * while a run that it triggered is there, a delivery of it is pending, or an idempotency key stands for it.
 */
export async function deleteRuns(tx: Tx, ids: readonly string[]): Promise<number> {
  // An array of events makes Postgres look up each run; joined to them, it would read whole tables instead.
  const events = Prisma.sql`ARRAY(SELECT e.id FROM run_event e WHERE e.run_id = run.id)`;
  return tx.$executeRaw`
    DELETE FROM run WHERE id = ANY(${[...ids]}::uuid[])
      AND NOT EXISTS (SELECT 1 FROM run child WHERE child.parent_event_id = ANY(${events}))
      AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event_id = ANY(${events}) AND d.state = 'pending')
      AND NOT EXISTS (SELECT 1 FROM idempotency_key k WHERE k.run_id = run.id)`;
}
