/** Lets the oldest waiting runs of a job take the places that are free. */
import { lockJobLimit } from "../jobs/locks.ts";
import { MAX_WAITING } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { attemptMessage } from "../queue/messages.ts";
import { type Queue, sendAttempts } from "../queue/queue.ts";
import type { Standing } from "./rules/admission.ts";
import { replaceMessages } from "./transitions.ts";

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

/**
 * To be called in the transaction that frees a place, with the job's lock taken before any run's. Answers how many
 * runs may start by it.
 */
export async function releaseWaiting(queue: Queue, tx: Tx, jobId: string): Promise<number> {
  const limit = await lockJobLimit(tx, jobId);
  if (limit === undefined) return 0;
  const holding = (await standings(tx, [jobId])).get(jobId)?.holding ?? 0;
  const free = limit === null ? MAX_WAITING : Math.max(0, limit - holding);
  const waiting = await waitingForPlace(tx, jobId, free);
  const messages = waiting.map((run) => attemptMessage(run, newId()));
  await replaceMessages(
    tx,
    messages.map(({ id, data }) => ({ id: data.run_id, messageId: id })),
  );
  await sendAttempts(queue, tx, messages);
  return waiting.length;
}
