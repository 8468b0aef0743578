/** Queries of what cron needs: the clock, and the jobs that follow it. */
import type { Tx } from "./client.ts";

/** A job with a cron expression, as the scheduler keeps it in memory. */
export interface CronJob {
  id: string;
  revisionId: string;
  cron: string[];
  timezone: string | null;
  scheduleTimezone: string | null;
  /** When the job last changed, be it its revision, its schedule's zone or a pause: it has no slots before. */
  since: Date;
}

/** The database's clock, and the number that grows with every save of a definition. */
export async function clockAndVersion(tx: Tx): Promise<{ now: Date; version: bigint }> {
  const [row] = await tx.$queryRaw<{ now: Date; version: bigint }[]>`
    SELECT now() AS now, coalesce((SELECT version FROM definition_version), 0) AS version`;
  if (row === undefined) throw new Error("the database did not tell its time");
  return row;
}

/** All live, enabled jobs that have a cron expression and are not paused. */
export async function cronJobs(tx: Tx): Promise<CronJob[]> {
  return tx.$queryRaw<CronJob[]>`
    SELECT j.id, r.id AS "revisionId", r.cron, r.timezone, s.tz_location AS "scheduleTimezone",
      greatest(r.created_at, j.updated_at, s.updated_at) AS since
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id JOIN schedule s ON s.id = j.schedule_id
    WHERE j.deleted_at IS NULL AND j.paused_at IS NULL AND r.enabled AND cardinality(r.cron) > 0`;
}
