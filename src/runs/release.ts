/** Releases waiting runs: gives the free places of a job to its oldest waiting runs. */
import { lockJobLimit } from "../jobs/locks.ts";
import { MAX_WAITING } from "../jobs/rules/definition.ts";
import type { SqlTx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { attemptMessage } from "../queue/messages.ts";
import { type Queue, sendAttempts } from "../queue/queue.ts";
import { replaceMessages } from "./transitions.ts";

/** Locks the runs of a job that wait for a place, oldest first, and returns them with their pools. */
export async function waitingForPlace(
  tx: SqlTx,
  jobId: string,
  limit: number,
): Promise<{ id: string; pool: string; nextAttemptAt: Date | null }[]> {
  return tx.$queryRaw`
    SELECT run.id, r.pool, run.next_attempt_at AS "nextAttemptAt" FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.job_id = ${jobId}::uuid AND run.ended_as IS NULL AND run.state = 'queued' AND run.message_id IS NULL
    ORDER BY run.id LIMIT ${limit} FOR UPDATE OF run`;
}

/**
 * Sends messages for waiting runs, as many as the job has free places. Returns how many. Call this in the transaction
 * that frees a place, and lock the job before any run.
 */
export async function releaseWaiting(queue: Queue, tx: SqlTx, jobId: string): Promise<number> {
  const limit = await lockJobLimit(tx, jobId);
  if (limit === undefined) return 0;
  const free = limit === null ? MAX_WAITING : Math.max(0, limit - (await countHolders(tx, jobId)));
  const waiting = await waitingForPlace(tx, jobId, free);
  const messages = waiting.map((run) => attemptMessage(run, newId(), run.nextAttemptAt ?? undefined));
  await replaceMessages(
    tx,
    messages.map(({ id, data }) => ({ id: data.run_id, messageId: id })),
  );
  await sendAttempts(queue, tx, messages);
  return waiting.length;
}

/** How many runs hold a place of the job. */
async function countHolders(tx: SqlTx, jobId: string): Promise<number> {
  const [row] = await tx.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM run
    WHERE job_id = ${jobId}::uuid AND ended_as IS NULL AND (state <> 'queued' OR message_id IS NOT NULL)`;
  return row?.count ?? 0;
}
