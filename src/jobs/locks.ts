/** Locks definitions and jobs, in the one order that all transactions keep. */
import type { Tx } from "../postgres/client.ts";

/**
 * Lets one transaction at a time write definitions, so that it checks names, targets and cycles against committed rows.
 * Also raises the version number, by which schedulers notice a change.
 */
export async function lockDefinitions(tx: Tx): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO definition_version (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = definition_version.version + 1`;
}

/**
 * Locks jobs together: against every other lock when one of them has a limit, so that its runs can be counted; else
 * against saves only. Returns whether one has a limit. The statement that locks reads nothing else: had it waited for a
 * save, it would see the new job row beside old rows of joined tables.
 */
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
 * Locks jobs against every other lock, in the one order that all transactions keep. Inserts that refer to a job still
 * pass; otherwise foreign keys would cause deadlocks.
 */
export async function lockFully(tx: Tx, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length === 0) return;
  await tx.$queryRaw`SELECT id FROM job WHERE id = ANY(${[...jobIds]}::uuid[]) ORDER BY id FOR NO KEY UPDATE`;
}

/** Locks a job and returns its limit (null: none), or undefined when there is no such live job. */
export async function lockJobLimit(tx: Tx, jobId: string): Promise<number | null | undefined> {
  const [row] = await tx.$queryRaw<{ limit: number | null }[]>`
    SELECT concurrency_limit AS limit FROM job WHERE id = ${jobId}::uuid AND deleted_at IS NULL FOR NO KEY UPDATE`;
  return row?.limit;
}
