/** Locks definitions and jobs, in the one order that all transactions keep. */
import type { Tx } from "../postgres/client.ts";
import type { Concurrency } from "./rules/definition.ts";

/**
 * One writer of definitions at a time, so that names, targets and cycles are checked against the truth; and
 * a new version number, by which schedulers see that something has changed.
 */
export async function lockDefinitions(tx: Tx): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO definition_version (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = definition_version.version + 1`;
}

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

/** Locks a job; answers its limit (null: none), or undefined when there is no such live job. */
export async function lockJobLimit(tx: Tx, jobId: string): Promise<number | null | undefined> {
  const [row] = await tx.$queryRaw<{ limit: number | null }[]>`
    SELECT concurrency_limit AS limit FROM job WHERE id = ${jobId}::uuid AND deleted_at IS NULL FOR NO KEY UPDATE`;
  return row?.limit;
}
