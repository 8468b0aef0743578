/** Finds active runs whose messages are gone, and sends new ones. */
import type { SqlTx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { attemptMessage, attemptQueue, LOST_QUEUE } from "../queue/messages.ts";
import { type Queue, type SentMessage, sendAttempts } from "../queue/queue.ts";
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
interface WaitingRun {
  id: string;
  jobId: string;
  state: RunState;
  messageId: string;
  pool: string;
  nextAttemptAt: Date | null;
}

/** Where a batch ended: runs are read job by job. */
type Position = Pick<WaitingRun, "jobId" | "id">;

/**
 * Looks at up to `limit` active runs after `after`, and sends messages for those that have none: for a running one a
 * dead letter, since its worker has lost its claim.
 */
export async function recoverWaitingRuns(
  queue: Queue,
  tx: SqlTx,
  after: Position | undefined,
  limit: number,
): Promise<{ recovered: number; last: Position | undefined }> {
  const { jobId, id } = after ?? { jobId: FIRST, id: FIRST };
  const runs = await tx.$queryRaw<WaitingRun[]>`
    SELECT run.id, run.job_id AS "jobId", run.message_id AS "messageId", r.pool
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.ended_as IS NULL AND run.message_id IS NOT NULL
      AND (run.job_id, run.id) > (${jobId}::uuid, ${id}::uuid)
    ORDER BY run.job_id, run.id LIMIT ${limit}`;
  const last = runs.length < limit ? undefined : runs.at(-1);
  const without = await withoutMessage(queue, tx, runs);
  if (without.length === 0) return { recovered: 0, last };
  // Check again under the locks: the runs may have changed since they were read.
  const lost = await withoutMessage(queue, tx, await lockWaiting(tx, without));
  const [running, others] = [lost.filter(isRunning), lost.filter((run) => !isRunning(run))];
  await resendMessages(queue, tx, others);
  const letters = running.map((run) => ({
    id: newId(),
    data: { run_id: run.id, message_id: run.messageId },
  }));
  await queue.send(tx, LOST_QUEUE, letters);
  return { recovered: lost.length, last };
}

/** No id sorts before it. */
const FIRST = "00000000-0000-0000-0000-000000000000";

function isRunning({ state }: WaitingRun): boolean {
  return state === "running";
}

async function lockWaiting(tx: SqlTx, runs: readonly { id: string }[]): Promise<WaitingRun[]> {
  return tx.$queryRaw`
    SELECT run.id, run.job_id AS "jobId", run.state, run.message_id AS "messageId", r.pool,
      run.next_attempt_at AS "nextAttemptAt"
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.id = ANY(${runs.map(({ id }) => id)}::uuid[]) AND run.ended_as IS NULL AND run.message_id IS NOT NULL
    ORDER BY run.id FOR UPDATE OF run`;
}

async function withoutMessage(
  queue: Queue,
  tx: SqlTx,
  runs: readonly WaitingRun[],
): Promise<readonly WaitingRun[]> {
  if (runs.length === 0) return runs;
  const sent = runs.map(
    ({ messageId, pool }): SentMessage => ({ id: messageId, queueName: attemptQueue(pool) }),
  );
  const live = await queue.liveMessages(tx, sent);
  return runs.filter(({ messageId }) => !live.has(messageId));
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
