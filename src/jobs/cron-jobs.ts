/** Reads the jobs that have a cron expression, and the revisions that were in force since a time. */
import type { Tx } from "../postgres/client.ts";
import { LOWEST_ID } from "../postgres/ids.ts";
import { DEFAULT_CATCHUP_WINDOW_MS, type MissedRuns } from "./rules/definition.ts";

/** A job with a cron expression, as the scheduler keeps it in memory. */
export interface CronJob {
  id: string;
  revisionId: string;
  cron: string[];
  timezone: string | null;
  scheduleTimezone: string | null;
  /** When its revision, its schedule or its pause last changed. The job has no slots before this time. */
  since: Date;
  missedRuns: MissedRuns["policy"];
  catchupWindowMs: number;
  /** When it was paused, by whom and why; null: it is not paused. */
  paused: { at: Date; by: string | null; reason: string | null } | null;
}

/** Jobs for each query: parsing many rows at once would block the event loop. */
const PAGE = 1_000;

/** All live, enabled jobs that have a cron expression, by id. */
export async function cronJobs(tx: Tx): Promise<CronJob[]> {
  const jobs: CronJob[] = [];
  for (;;) {
    const page = await cronJobsAfter(tx, jobs.at(-1)?.id ?? LOWEST_ID);
    jobs.push(...page);
    if (page.length < PAGE) return jobs;
  }
}

async function cronJobsAfter(tx: Tx, id: string): Promise<CronJob[]> {
  const rows = await tx.$queryRaw<(Omit<CronJob, "paused"> & CronJobPause)[]>`
    SELECT j.id, r.id AS "revisionId", r.cron, r.timezone, s.tz_location AS "scheduleTimezone",
      greatest(r.created_at, j.updated_at, s.updated_at) AS since, r.missed_runs AS "missedRuns",
      coalesce(r.catchup_window_ms, ${DEFAULT_CATCHUP_WINDOW_MS})::float8 AS "catchupWindowMs",
      j.paused_at AS "pausedAt", j.paused_by AS by, j.pause_reason AS reason
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id JOIN schedule s ON s.id = j.schedule_id
    WHERE j.id > ${id}::uuid AND j.deleted_at IS NULL AND r.enabled AND cardinality(r.cron) > 0
    ORDER BY j.id LIMIT ${PAGE}`;
  return rows.map(({ pausedAt, by, reason, ...job }) => ({
    ...job,
    paused: pausedAt && { at: pausedAt, by, reason },
  }));
}

interface CronJobPause {
  pausedAt: Date | null;
  by: string | null;
  reason: string | null;
}

/** The cron expressions of a job during one period. */
export interface RevisionInForce {
  jobId: string;
  cron: string[];
  timezone: string | null;
  from: Date;
  /** null: it is the current revision. */
  until: Date | null;
}

/** The enabled revisions of jobs that were in force at any time after `after`, oldest first. */
export async function revisionsInForce(
  tx: Tx,
  jobIds: readonly string[],
  after: Date,
): Promise<RevisionInForce[]> {
  return tx.$queryRaw`
    SELECT * FROM (
      SELECT job_id AS "jobId", cron, timezone, enabled, created_at AS "from",
        lead(created_at) OVER (PARTITION BY job_id ORDER BY number) AS until
      FROM job_revision WHERE job_id = ANY(${[...jobIds]}::uuid[])
    ) AS revision WHERE enabled AND (until IS NULL OR until > ${after}) ORDER BY "jobId", "from"`;
}
