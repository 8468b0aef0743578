/** Locks definitions and jobs, in the same order in all transactions so that they cannot deadlock. */
import type { Tx } from "../postgres/client.ts";

/**
 * Lets only one transaction at a time write definitions. It can then check names, targets and cycles against committed
 * rows. Also raises the version number, which tells schedulers about the change.
 */
export async function lockDefinitions(tx: Tx): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO definition_version (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = definition_version.version + 1`;
}

/**
 * Locks jobs whose runs are about to change. If one of the jobs has a concurrency limit, the locks are exclusive, so
 * that its runs can be counted; otherwise they only keep saves out. Returns whether the locks are exclusive. The
 * locking statement must not read other tables: after waiting for a save, it would see the new job row together with
 * old rows of the joined tables.
 */
export async function lockJobsForRuns(tx: Tx, jobIds: readonly string[]): Promise<boolean> {
  const ids = [...jobIds];
  if (ids.length === 0) return false;
  const limited = await tx.$queryRaw<unknown[]>`
    SELECT 1 AS limited FROM job WHERE id = ANY(${ids}::uuid[]) AND concurrency_limit IS NOT NULL LIMIT 1`;
  if (limited.length > 0) await lockJobsExclusively(tx, ids);
  else await tx.$queryRaw`SELECT id FROM job WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR SHARE`;
  return limited.length > 0;
}

/**
 * Locks jobs exclusively, in the order of their ids. Other transactions can still insert rows that refer to the jobs;
 * otherwise foreign keys would cause deadlocks.
 */
export async function lockJobsExclusively(tx: Tx, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length === 0) return;
  await tx.$queryRaw`SELECT id FROM job WHERE id = ANY(${[...jobIds]}::uuid[]) ORDER BY id FOR NO KEY UPDATE`;
}

/** Locks a job and returns its concurrency limit (null: no limit); undefined when no live job has this id. */
export async function lockJobLimit(tx: Tx, jobId: string): Promise<number | null | undefined> {
  const [row] = await tx.$queryRaw<{ limit: number | null }[]>`
    SELECT concurrency_limit AS limit FROM job WHERE id = ${jobId}::uuid AND deleted_at IS NULL FOR NO KEY UPDATE`;
  return row?.limit;
}
