/** Queries of how many runs of a job go on, and which wait for a place. */

import type { Tx } from "../postgres/client.ts";
import type { Standing } from "../runs/rules/admission.ts";
import type { RunState } from "../runs/rules/states.ts";
import type { WaitingRun } from "../runs/transitions.ts";
import type { Concurrency } from "./rules/definition.ts";

/** What a new run needs to know of its job. */
export interface Admitting {
  revisionId: string;
  concurrency: Concurrency;
  pool: string;
  /** Cron runs start up to so much later (ms). */
  jitterMs: number;
  /** Set: its slots are missed. */
  paused: { by: string | null; reason: string | null } | null;
}

/**
 * Locks jobs until the transaction ends, and answers those of them that are live and enabled. They stay as they are;
 * those with a limit are locked against each other too, so that their runs can be counted.
 *
 * The lock is taken by a statement that reads nothing else: one that waited for a save sees the new job row, but
 * whatever it joined as it was before.
 */
export async function lockJobs(tx: Tx, jobIds: readonly string[]): Promise<Map<string, Admitting>> {
  const ids = [...jobIds];
  const fully = await holdJobs(tx, ids);
  const rows = await tx.$queryRaw<(Omit<Admitting, "concurrency" | "paused"> & AdmittingColumns)[]>`
    SELECT j.id, r.id AS "revisionId", j.concurrency_limit AS "limit", r.concurrency_policy AS policy, r.pool,
      r.jitter_ms AS "jitterMs", j.paused_at IS NOT NULL AS "isPaused", j.paused_by AS by, j.pause_reason AS reason
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id
    WHERE j.id = ANY(${ids}::uuid[]) AND j.deleted_at IS NULL AND r.enabled`;
  // A limit that was saved while we waited for the lock.
  const newlyLimited = rows.filter((row) => !fully && row.limit !== null);
  await lockFully(
    tx,
    newlyLimited.map((row) => row.id),
  );
  const jobs = new Map<string, Admitting>();
  for (const { id, limit, policy, isPaused, by, reason, ...row } of rows) {
    jobs.set(id, { ...row, concurrency: { limit, policy }, paused: isPaused ? { by, reason } : null });
  }
  return jobs;
}

interface AdmittingColumns extends Concurrency {
  id: string;
  isPaused: boolean;
  by: string | null;
  reason: string | null;
}

/** Locks jobs together: against everybody when one of them has a limit, which it answers; else against saves only. */
export async function holdJobs(tx: Tx, jobIds: readonly string[]): Promise<boolean> {
  const ids = [...jobIds];
  if (ids.length === 0) return false;
  const limited = await tx.$queryRaw<unknown[]>`
    SELECT 1 AS limited FROM job WHERE id = ANY(${ids}::uuid[]) AND concurrency_limit IS NOT NULL LIMIT 1`;
  if (limited.length > 0) await lockFully(tx, ids);
  else await tx.$queryRaw`SELECT id FROM job WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR SHARE`;
  return limited.length > 0;
}

/**
 * Locks jobs against everybody, in the one order that all use; only whoever inserts a row that points to a job passes,
 * or foreign keys would close circles of waiting.
 */
export async function lockFully(tx: Tx, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length === 0) return;
  await tx.$queryRaw`SELECT id FROM job WHERE id = ANY(${[...jobIds]}::uuid[]) ORDER BY id FOR NO KEY UPDATE`;
}

/**
 * The jobs that a settlement of this run touches: its own if that has a limit, and those that its actions may
 * trigger. To be locked together, before the run.
 */
export async function jobsOfSettlement(
  tx: Tx,
  runId: string,
): Promise<{ own: string | undefined; targets: string[] }> {
  const rows = await tx.$queryRaw<{ id: string; own: boolean }[]>`
    SELECT j.id, true AS own FROM run JOIN job j ON j.id = run.job_id
    WHERE run.id = ${runId}::uuid AND j.concurrency_limit IS NOT NULL
    UNION ALL SELECT DISTINCT a.target_job_id, false FROM run JOIN job j ON j.id = run.job_id
    JOIN event_action a ON a.job_revision_id = run.revision_id OR a.schedule_id = j.schedule_id
    WHERE run.id = ${runId}::uuid AND a.target_job_id IS NOT NULL`;
  return {
    own: rows.find((row) => row.own)?.id,
    targets: rows.filter((row) => !row.own).map((row) => row.id),
  };
}

/** Locks the job of a run if it has a limit; answers its id then. To be called before the run is locked. */
export async function lockLimitedJob(tx: Tx, runId: string): Promise<string | undefined> {
  const [row] = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM job WHERE id = (SELECT job_id FROM run WHERE id = ${runId}::uuid) AND concurrency_limit IS NOT NULL
    FOR NO KEY UPDATE`;
  return row?.id;
}

/** Locks a job; answers its limit (null: none), or undefined when there is no such live job. */
export async function lockJobLimit(tx: Tx, jobId: string): Promise<number | null | undefined> {
  const [row] = await tx.$queryRaw<{ limit: number | null }[]>`
    SELECT concurrency_limit AS limit FROM job WHERE id = ${jobId}::uuid AND deleted_at IS NULL FOR NO KEY UPDATE`;
  return row?.limit;
}

/** The standing of each job that has runs which have not ended. */
export async function standings(tx: Tx, jobIds: readonly string[]): Promise<Map<string, Standing>> {
  const rows = await tx.$queryRaw<(Standing & { jobId: string })[]>`
    SELECT job_id AS "jobId",
      (count(*) FILTER (WHERE state <> 'queued' OR message_id IS NOT NULL))::int AS holding,
      (count(*) FILTER (WHERE state = 'queued'))::int AS waiting,
      (count(*) FILTER (WHERE state = 'queued' AND trigger = 'cron'))::int AS "waitingCron"
    FROM run WHERE job_id = ANY(${[...jobIds]}::uuid[]) AND state IN ('queued', 'running', 'retrying')
    GROUP BY job_id`;
  return new Map(rows.map(({ jobId, ...standing }) => [jobId, standing]));
}

/** A run that holds a place of its job. */
export interface Holder extends WaitingRun {
  state: RunState;
  cancelRequestedAt: Date | null;
}

/** Locks the runs of a job that hold its places, and reads them, oldest first. */
export async function lockHolders(tx: Tx, jobId: string): Promise<Holder[]> {
  return tx.$queryRaw`
    SELECT run.id, run.state, run.message_id AS "messageId", run.cancel_requested_at AS "cancelRequestedAt", r.pool
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.job_id = ${jobId}::uuid AND run.state IN ('queued', 'running', 'retrying')
      AND (run.state <> 'queued' OR run.message_id IS NOT NULL)
    ORDER BY run.id FOR UPDATE OF run`;
}

/** The runs of a job that wait for a place, oldest first, and where they are to run. */
export async function waitingForPlace(
  tx: Tx,
  jobId: string,
  limit: number,
): Promise<{ id: string; pool: string }[]> {
  return tx.$queryRaw`
    SELECT run.id, r.pool FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.job_id = ${jobId}::uuid AND run.state = 'queued' AND run.message_id IS NULL
    ORDER BY run.id LIMIT ${limit} FOR UPDATE OF run`;
}
