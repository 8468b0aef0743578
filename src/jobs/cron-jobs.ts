/** Queries of what cron needs: the clock, the jobs that follow it, and which slots have their rows. */

import type { Tx } from "../postgres/client.ts";
import type { MissedRuns } from "./rules/definition.ts";

/** A job with a cron expression, as the scheduler keeps it in memory. */
export interface CronJob {
  id: string;
  revisionId: string;
  cron: string[];
  timezone: string | null;
  scheduleTimezone: string | null;
  /** When the job last changed, be it its revision, its schedule's zone or a pause: it has no slots before. */
  since: Date;
  missedRuns: MissedRuns["policy"];
  catchupWindowMs: number;
  /** Since when it is paused, by whom and why. */
  paused: { at: Date; by: string | null; reason: string | null } | null;
}

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

/** Jobs read at once: to unpack rows keeps the event loop. */
const PAGE = 1_000;
const BEFORE_ALL = "00000000-0000-0000-0000-000000000000";

/** All live, enabled jobs that have a cron expression, in the order of their ids. */
export async function cronJobs(tx: Tx): Promise<CronJob[]> {
  const jobs: CronJob[] = [];
  for (;;) {
    const page = await cronJobsAfter(tx, jobs.at(-1)?.id ?? BEFORE_ALL);
    jobs.push(...page);
    if (page.length < PAGE) return jobs;
  }
}

async function cronJobsAfter(tx: Tx, id: string): Promise<CronJob[]> {
  const rows = await tx.$queryRaw<(Omit<CronJob, "paused"> & CronJobPause)[]>`
    SELECT j.id, r.id AS "revisionId", r.cron, r.timezone, s.tz_location AS "scheduleTimezone",
      greatest(r.created_at, j.updated_at, s.updated_at) AS since, r.missed_runs AS "missedRuns",
      coalesce(r.catchup_window_ms, 86400000)::float8 AS "catchupWindowMs",
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

/** A job that will have slots, with the zones that count. */
export type ScheduledJob = Pick<CronJob, "cron" | "timezone" | "scheduleTimezone"> & {
  name: string;
  schedule: string;
};

/** The jobs of {@link cronJobs} that are not paused, by name, after the name `after`. */
export async function scheduledJobs(tx: Tx, after: string, limit: number): Promise<ScheduledJob[]> {
  return tx.$queryRaw`
    SELECT j.name, s.name AS schedule, r.cron, r.timezone, s.tz_location AS "scheduleTimezone"
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id JOIN schedule s ON s.id = j.schedule_id
    WHERE j.deleted_at IS NULL AND j.paused_at IS NULL AND r.enabled AND cardinality(r.cron) > 0
      AND j.name > ${after} ORDER BY j.name LIMIT ${limit}`;
}

/** When a job followed which expressions. */
export interface RevisionInForce {
  jobId: string;
  cron: string[];
  timezone: string | null;
  from: Date;
  /** null: it is the current one. */
  until: Date | null;
}

/** What jobs said at some time after `after`, oldest first; a revision that was disabled is left out. */
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
    ) AS said WHERE enabled AND (until IS NULL OR until > ${after}) ORDER BY "jobId", "from"`;
}

interface Slot {
  jobId: string;
  scheduledFor?: Date | undefined;
}

/** What a slot is called in the set of {@link takenSlots}. */
export function slotKey({ jobId, scheduledFor }: Slot): string {
  return `${jobId} ${scheduledFor?.toISOString()}`;
}

/** Those of these slots that have their row. */
export async function takenSlots(tx: Tx, slots: readonly Slot[]): Promise<Set<string>> {
  const asked = slots.filter((slot) => slot.scheduledFor !== undefined);
  if (asked.length === 0) return new Set();
  const [jobIds, times] = [asked.map((s) => s.jobId), asked.map((s) => s.scheduledFor?.toISOString())];
  const taken = await tx.$queryRaw<{ jobId: string; scheduledFor: Date }[]>`
    SELECT run.job_id AS "jobId", run.scheduled_for AS "scheduledFor"
    FROM unnest(${jobIds}::uuid[], ${times}::timestamptz[]) AS slot (job_id, scheduled_for)
    JOIN run ON run.job_id = slot.job_id AND run.scheduled_for = slot.scheduled_for`;
  return new Set(taken.map(slotKey));
}

/** How many slots of each job have been recorded as missed since it was paused. */
export async function missedInPause(
  tx: Tx,
  paused: readonly { jobId: string; pausedAt: Date }[],
): Promise<Map<string, number>> {
  const [jobIds, times] = [paused.map((p) => p.jobId), paused.map((p) => p.pausedAt.toISOString())];
  const counts = await tx.$queryRaw<{ jobId: string; count: number }[]>`
    SELECT paused.job_id AS "jobId", count(*)::int AS count
    FROM unnest(${jobIds}::uuid[], ${times}::timestamptz[]) AS paused (job_id, since)
    JOIN run ON run.job_id = paused.job_id AND run.scheduled_for > paused.since AND run.state = 'missed'
    GROUP BY 1`;
  return new Map(counts.map(({ jobId, count }) => [jobId, count]));
}

/** Those of these slots shortly before which, or at which, a run of the same job has been made up for. */
export async function caughtUpNear(tx: Tx, slots: readonly Slot[], nearMs: number): Promise<Set<string>> {
  const [jobIds, times] = [slots.map((s) => s.jobId), slots.map((s) => s.scheduledFor?.toISOString())];
  const near = await tx.$queryRaw<{ jobId: string; scheduledFor: Date }[]>`
    SELECT DISTINCT slot.job_id AS "jobId", slot.scheduled_for AS "scheduledFor"
    FROM unnest(${jobIds}::uuid[], ${times}::timestamptz[]) AS slot (job_id, scheduled_for)
    JOIN run ON run.job_id = slot.job_id AND run.trigger = 'catch_up' AND run.scheduled_for <= slot.scheduled_for
      AND run.scheduled_for >= slot.scheduled_for - ${nearMs} * interval '1 millisecond'`;
  return new Set(near.map(slotKey));
}
