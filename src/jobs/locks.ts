/** Locks definitions and jobs, in the same order in all transactions so that they cannot deadlock. */
import type { SqlTx } from "../postgres/client.ts";

/**
 * Lets only one transaction at a time write definitions. It can then check names, targets and cycles against committed
 * rows. Also raises the version number, which tells schedulers about the change.
 */
export async function lockDefinitions(tx: SqlTx): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO definition_version (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = definition_version.version + 1`;
}

/**
 * Locks jobs whose runs are about to change, in the order of their ids, so that no save changes them and their runs can
 * be counted. Other transactions can still insert rows that refer to the jobs; otherwise foreign keys would cause
 * deadlocks. The statement reads no other table: after waiting for a save, it would see the new job row together with
 * old rows of the joined tables. Read the jobs in another statement.
 * @param jobs deleted ones are left out
 * @returns the ids of the locked jobs
 */
export async function lockJobs(
  tx: SqlTx,
  { ids = [], names = [] }: { ids?: readonly string[]; names?: readonly string[] },
): Promise<Set<string>> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM job
    WHERE deleted_at IS NULL AND id = ANY(ARRAY(
      SELECT unnest(${[...ids]}::uuid[])
      UNION ALL SELECT id FROM job WHERE name = ANY(${[...names]}::text[]) AND deleted_at IS NULL
    ))
    ORDER BY id FOR NO KEY UPDATE`;
  return new Set(rows.map((row) => row.id));
}

/** Locks a job and returns its concurrency limit (null: no limit); undefined when no live job has this id. */
export async function lockJobLimit(tx: SqlTx, jobId: string): Promise<number | null | undefined> {
  const [row] = await tx.$queryRaw<{ limit: number | null }[]>`
    SELECT concurrency_limit AS limit FROM job WHERE id = ${jobId}::uuid AND deleted_at IS NULL FOR NO KEY UPDATE`;
  return row?.limit;
}
