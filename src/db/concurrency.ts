/** Queries of how many runs of a job go on, and which wait for a place. */
import type { Standing } from "../core/concurrency.ts";
import type { Concurrency } from "../core/job.ts";
import type { Tx } from "./client.ts";

/** What a new run needs to know of its job. */
export interface Admitting {
  revisionId: string;
  concurrency: Concurrency;
}

/**
 * Current revisions of those of the jobs that are live and enabled, by job. The jobs stay as they are until
 * the transaction ends; those with a limit are locked against each other too, so that their runs can be counted.
 */
export async function lockJobs(tx: Tx, jobIds: readonly string[]): Promise<Map<string, Admitting>> {
  await tx.$queryRaw`
    SELECT 1 AS locked FROM job j JOIN job_revision r ON r.id = j.current_revision_id
    WHERE j.id = ANY(${[...jobIds]}::uuid[]) AND r.concurrency_limit IS NOT NULL ORDER BY j.id FOR UPDATE OF j`;
  const rows = await tx.$queryRaw<
    { id: string; revisionId: string; limit: number | null; policy: Concurrency["policy"] }[]
  >`
    SELECT j.id, r.id AS "revisionId", r.concurrency_limit AS limit, r.concurrency_policy AS policy
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id
    WHERE j.id = ANY(${[...jobIds]}::uuid[]) AND j.deleted_at IS NULL AND r.enabled
    ORDER BY j.id FOR SHARE OF j`;
  return new Map(
    rows.map(({ id, revisionId, limit, policy }) => [id, { revisionId, concurrency: { limit, policy } }]),
  );
}

/** Locks the job of a run if it has a limit; answers its id then. To be called before the run is locked. */
export async function lockLimitedJob(tx: Tx, runId: string): Promise<string | undefined> {
  const [row] = await tx.$queryRaw<{ id: string }[]>`
    SELECT j.id FROM job j JOIN job_revision r ON r.id = j.current_revision_id
    WHERE j.id = (SELECT job_id FROM run WHERE id = ${runId}::uuid) AND r.concurrency_limit IS NOT NULL
    FOR UPDATE OF j`;
  return row?.id;
}

/** Locks a job; answers its limit (null: none), or undefined when there is no such live job. */
export async function lockJobLimit(tx: Tx, jobId: string): Promise<number | null | undefined> {
  const [row] = await tx.$queryRaw<{ limit: number | null }[]>`
    SELECT r.concurrency_limit AS limit FROM job j JOIN job_revision r ON r.id = j.current_revision_id
    WHERE j.id = ${jobId}::uuid AND j.deleted_at IS NULL FOR UPDATE OF j`;
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

/** Ids of the runs of a job that wait for a place, oldest first. */
export async function waitingForPlace(tx: Tx, jobId: string, limit: number): Promise<string[]> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM run WHERE job_id = ${jobId}::uuid AND state = 'queued' AND message_id IS NULL
    ORDER BY id LIMIT ${limit} FOR UPDATE`;
  return rows.map((row) => row.id);
}
