/** Lets the newest run of a job whose policy is `replace` take the place of the oldest one that goes on. */
import { MAX_WAITING } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import type { Queue } from "../queue/queue.ts";
import { cancelRunning, cancelWaiting, type WaitingRun } from "./cancel.ts";
import { releaseWaiting, waitingForPlace } from "./release.ts";
import type { RunState } from "./rules/states.ts";

/** A run that holds a place of its job. */
export interface Holder extends WaitingRun {
  state: RunState;
  cancelRequestedAt: Date | null;
}

/** Locks the runs of a job that hold its places, and reads them, oldest first. */
export async function lockHolders(tx: Tx, jobId: string): Promise<Holder[]> {
  return tx.$queryRaw`
    SELECT run.id, run.state, run.message_id AS "messageId", run.cancel_requested_at AS "cancelRequestedAt", r.pool
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.job_id = ${jobId}::uuid AND run.state IN ('queued', 'running', 'retrying')
      AND (run.state <> 'queued' OR run.message_id IS NOT NULL)
    ORDER BY run.id FOR UPDATE OF run`;
}

/**
 * To be called in the transaction that made a run wait, with its job locked. Of the runs that wait only the newest
 * stays. It starts at once where the run that it replaces has not begun, else when that one's command has ended.
 */
export async function replaceRuns(queue: Queue, tx: Tx, jobId: string): Promise<void> {
  const waiting = await waitingForPlace(tx, jobId, MAX_WAITING);
  const newest = waiting.at(-1);
  if (newest === undefined) return;
  const reason = `replaced by run ${newest.id}`;
  const older = waiting.slice(0, -1).map((run) => ({ ...run, messageId: null }));
  await cancelWaiting(queue, tx, older, reason);
  const holders = await lockHolders(tx, jobId);
  const [oldest] = holders;
  // A place that is about to be free is enough.
  if (oldest === undefined || holders.some((run) => run.cancelRequestedAt !== null)) return;
  if (oldest.state === "running") return cancelRunning(tx, oldest.id, reason);
  await cancelWaiting(queue, tx, [oldest], reason);
  await releaseWaiting(queue, tx, jobId);
}
