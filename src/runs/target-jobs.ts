/** Locks the jobs that get new runs, and reads what these runs depend on. */
import { lockJobs } from "../jobs/locks.ts";
import type { Concurrency } from "../jobs/rules/definition.ts";
import type { SqlTx } from "../postgres/client.ts";
import { RowsChanged } from "../postgres/failures.ts";
import type { Occupancy } from "./rules/admission.ts";

/** A locked, live job that gets new runs. */
export interface TargetJob {
  id: string;
  name: string;
  schedule: string;
  enabled: boolean;
  revisionId: string;
  /** The number of the revision. */
  revision: number;
  retryLimit: number;
  /** Variables that a trigger may set even without the scope admin. */
  params: readonly string[];
  concurrency: Concurrency;
  pool: string;
  /** Cron runs start at most this much (ms) after their slots. */
  jitterMs: number;
  /** Set while the job is paused: its slots are recorded as missed. */
  paused: { by: string | null; reason: string | null } | null;
  /** The active runs, including those that this transaction creates. */
  occupancy: Occupancy;
}

type TargetRow = Omit<TargetJob, "concurrency" | "paused" | "occupancy"> &
  Concurrency &
  Occupancy & { isPaused: boolean; by: string | null; reason: string | null };

/** Locks live jobs, by ids or by names, until the transaction ends, and reads them. Deleted jobs are left out. */
export async function lockTargetJobs(
  tx: SqlTx,
  select: { ids: readonly string[] } | { names: readonly string[] },
): Promise<TargetJob[]> {
  const [locked, rows] = await Promise.all([lockJobs(tx, select), readTargetJobs(tx, select)]);
  // While we waited for the lock of a job, another one with its name took its place.
  if (rows.some(({ id }) => !locked.has(id))) throw new RowsChanged("a job was replaced while it was locked");
  return rows.map(({ limit, policy, isPaused, by, reason, holding, waiting, waitingCron, ...job }) => ({
    ...job,
    concurrency: { limit, policy },
    paused: isPaused ? { by, reason } : null,
    occupancy: { holding, waiting, waitingCron },
  }));
}

/** Reads jobs in a statement of its own, which sees changes that were committed while we waited for the locks. */
async function readTargetJobs(
  tx: SqlTx,
  { ids = [], names = [] }: { ids?: readonly string[]; names?: readonly string[] },
): Promise<TargetRow[]> {
  return tx.$queryRaw`
    SELECT j.id, j.name, s.name AS schedule, r.enabled, r.id AS "revisionId", r.number AS revision,
      r.retry_limit AS "retryLimit", r.params, j.concurrency_limit AS "limit", r.concurrency_policy AS policy, r.pool,
      r.jitter_ms AS "jitterMs", j.paused_at IS NOT NULL AS "isPaused", j.paused_by AS by, j.pause_reason AS reason,
      active.*
    FROM job j JOIN schedule s ON s.id = j.schedule_id JOIN job_revision r ON r.id = j.current_revision_id
    CROSS JOIN LATERAL (
      SELECT (count(*) FILTER (WHERE state <> 'queued' OR message_id IS NOT NULL))::int AS holding,
        (count(*) FILTER (WHERE state = 'queued' AND is_due))::int AS waiting,
        (count(*) FILTER (WHERE state = 'queued' AND is_due AND trigger = 'cron'))::int AS "waitingCron"
      FROM run CROSS JOIN LATERAL (SELECT coalesce(next_attempt_at <= now(), true) AS is_due) AS delay
      WHERE job_id = j.id AND ended_as IS NULL
    ) AS active
    WHERE j.deleted_at IS NULL AND j.id = ANY(ARRAY(
      SELECT unnest(${[...ids]}::uuid[])
      UNION ALL SELECT id FROM job WHERE name = ANY(${[...names]}::text[]) AND deleted_at IS NULL
    ))`;
}
