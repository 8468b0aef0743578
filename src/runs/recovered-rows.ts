/** Finds active runs whose messages are gone, and sends new ones. */
import type { SqlTx } from "../postgres/client.ts";
import { LOWEST_ID, newId } from "../postgres/ids.ts";
import { attemptMessage, attemptQueue, LOST_QUEUE } from "../queue/messages.ts";
import { type Queue, type SentMessage, sendAttempts, withoutLiveMessage } from "../queue/queue.ts";
import type { RunState } from "./rules/states.ts";
import { replaceMessages } from "./transitions.ts";

/** The jobs with runs that wait for a place while one is free. */
export async function jobsWithFreePlaces(tx: SqlTx): Promise<string[]> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT job.id FROM (
      SELECT job_id, count(*) FILTER (WHERE state <> 'queued' OR message_id IS NOT NULL) AS holding, count(*) AS active
      FROM run WHERE ended_as IS NULL GROUP BY job_id
    ) AS runs JOIN job ON job.id = runs.job_id
    WHERE runs.active > runs.holding AND (job.concurrency_limit IS NULL OR runs.holding < job.concurrency_limit)
    ORDER BY job.id`;
  return rows.map(({ id }) => id);
}

/** An active run that has been sent a message. */
interface ActiveRun {
  id: string;
  jobId: string;
  state: RunState;
  messageId: string;
  pool: string;
  nextAttemptAt: Date | null;
}

/** Where a batch ended: runs are read job by job. */
type Position = Pick<ActiveRun, "jobId" | "id">;

/**
 * Looks at up to `limit` active runs after `after`, and sends messages for those that have none: for a running one a
 * dead letter, since its worker has lost its claim.
 */
export async function recoverActiveRuns(
  queue: Queue,
  tx: SqlTx,
  after: Position | undefined,
  limit: number,
): Promise<{ recovered: number; last: Position | undefined }> {
  const { jobId, id } = after ?? { jobId: LOWEST_ID, id: LOWEST_ID };
  const runs = await tx.$queryRaw<Omit<ActiveRun, "state" | "nextAttemptAt">[]>`
    SELECT run.id, run.job_id AS "jobId", run.message_id AS "messageId", r.pool
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.ended_as IS NULL AND run.message_id IS NOT NULL
      AND (run.job_id, run.id) > (${jobId}::uuid, ${id}::uuid)
    ORDER BY run.job_id, run.id LIMIT ${limit}`;
  const last = runs.length < limit ? undefined : runs.at(-1);
  const without = await withoutLiveMessage(queue, tx, runs, messageOf);
  if (without.length === 0) return { recovered: 0, last };
  // Check again under the locks: the runs may have changed since they were read.
  const lost = await withoutLiveMessage(queue, tx, await lockActive(tx, without), messageOf);
  const [running, others] = [lost.filter(isRunning), lost.filter((run) => !isRunning(run))];
  await resendMessages(queue, tx, others);
  const letters = running.map((run) => ({
    id: newId(),
    data: { run_id: run.id, message_id: run.messageId },
  }));
  await queue.send(tx, LOST_QUEUE, letters);
  return { recovered: lost.length, last };
}

function isRunning({ state }: ActiveRun): boolean {
  return state === "running";
}

async function lockActive(tx: SqlTx, runs: readonly { id: string }[]): Promise<ActiveRun[]> {
  return tx.$queryRaw`
    SELECT run.id, run.job_id AS "jobId", run.state, run.message_id AS "messageId", r.pool,
      run.next_attempt_at AS "nextAttemptAt"
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.id = ANY(${runs.map(({ id }) => id)}::uuid[]) AND run.ended_as IS NULL AND run.message_id IS NOT NULL
    ORDER BY run.id FOR UPDATE OF run`;
}

function messageOf({ messageId, pool }: Pick<ActiveRun, "messageId" | "pool">): SentMessage {
  return { id: messageId, queueName: attemptQueue(pool) };
}

/** Sends new messages for the next attempts of locked runs. */
export async function resendMessages(
  queue: Queue,
  tx: SqlTx,
  runs: readonly { id: string; pool: string; nextAttemptAt: Date | null }[],
): Promise<void> {
  const messages = runs.map((run) => attemptMessage(run, newId(), run.nextAttemptAt ?? undefined));
  const replaced = messages.map(({ id, data }) => ({ id: data.run_id, messageId: id }));
  await replaceMessages(tx, replaced);
  await sendAttempts(queue, tx, messages);
}
