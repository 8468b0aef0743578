/** Cancels runs: on request, of deleted jobs, and those that a newer run replaces. */
import { audit } from "../access/audit.ts";
import type { Caller } from "../access/rules/grants.ts";
import { CarillonError, runNotFound } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { MAX_WAITING } from "../jobs/rules/definition.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { attemptQueue } from "../queue/messages.ts";
import type { Queue } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { releaseWaiting, waitingForPlace } from "./release.ts";
import type { RunState } from "./rules/states.ts";
import { lockRun, moveRun } from "./transitions.ts";

/** Cancels a run that waits; the status of an earlier attempt stays. */
async function cancelWaitingRun(
  tx: Tx,
  run: { id: string; finishedAt: Date; reason: string },
): Promise<void> {
  const { id, ...data } = run;
  await moveRun(tx, id, "cancelled", { ...data, messageId: null, nextAttemptAt: null });
}

/** Notes that a running run is to be ended, and why; what was noted before stays. */
async function requestCancel(tx: Tx, run: { id: string; at: Date; reason: string }): Promise<void> {
  await tx.run.updateMany({
    where: { id: run.id, state: "running", cancelRequestedAt: null },
    data: { cancelRequestedAt: run.at, reason: run.reason },
  });
}

/** Those of these runs whose end has been asked for while they run. */
export async function findCancelRequests(tx: Tx, ids: readonly string[]): Promise<string[]> {
  const rows = await tx.run.findMany({
    where: { id: { in: [...ids] }, state: "running", cancelRequestedAt: { not: null } },
    select: { id: true },
  });
  return rows.map(({ id }) => id);
}

/** Locks the runs of these jobs that have not begun, so that they can be cancelled. */
async function lockWaitingRuns(tx: Tx, jobIds: readonly string[]): Promise<WaitingRun[]> {
  return tx.$queryRaw`
    SELECT run.id, run.message_id AS "messageId", r.pool
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.job_id = ANY(${[...jobIds]}::uuid[]) AND run.state IN ('queued', 'retrying')
    ORDER BY run.id FOR UPDATE OF run`;
}

/** A run that has not begun, and where its message is, if it has one. */
export interface WaitingRun {
  id: string;
  messageId: string | null;
  pool: string;
}

/** Locks the job of a run if it has a limit; answers its id then. To be called before the run is locked. */
async function lockLimitedJob(tx: Tx, runId: string): Promise<string | undefined> {
  const [row] = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM job WHERE id = (SELECT job_id FROM run WHERE id = ${runId}::uuid) AND concurrency_limit IS NOT NULL
    FOR NO KEY UPDATE`;
  return row?.id;
}

const ON_REQUEST = "cancelled on request";

/**
 * Cancels a run. One that waits is cancelled at once; a running one when its worker, on whichever node, has ended its
 * command; a cancelled one stays as it is. Answers whether the run has ended. Throws run_not_found, run_ended.
 */
export async function cancelRun({ db, queue }: Infra, caller: Caller, id: string): Promise<boolean> {
  return db.transaction(async (tx) => {
    const ended = await cancelOne(queue, tx, id);
    await audit(tx, caller, "run.cancel", id);
    return ended;
  });
}

async function cancelOne(queue: Queue, tx: Tx, id: string): Promise<boolean> {
  const limitedJob = await lockLimitedJob(tx, id);
  const run = await lockRun(tx, id);
  switch (run?.state) {
    case undefined:
      throw runNotFound(id);
    case "queued":
    case "retrying":
      await cancelWaiting(queue, tx, [{ ...run, pool: run.revision.pool }], ON_REQUEST);
      if (limitedJob !== undefined) await releaseWaiting(queue, tx, limitedJob);
      return true;
    case "cancelled":
      return true;
    case "running":
      await cancelRunning(tx, id, ON_REQUEST);
      return false;
    case "succeeded":
    case "failed":
    case "skipped":
    case "missed":
      throw new CarillonError("run_ended", `the run has ended: it is ${run.state}`);
  }
}

/** Cancels the queued and retrying runs of jobs that are being deleted. */
export async function cancelRunsOfJobs(queue: Queue, tx: Tx, jobIds: readonly string[]): Promise<void> {
  await cancelWaiting(queue, tx, await lockWaitingRuns(tx, jobIds), "the job was deleted");
}

/** Cancels locked runs that are queued or retrying, and takes their messages back. */
async function cancelWaiting(
  queue: Queue,
  tx: Tx,
  waiting: readonly WaitingRun[],
  reason: string,
): Promise<void> {
  const finishedAt = await databaseNow(tx);
  for (const { id } of waiting) {
    await cancelWaitingRun(tx, { id, finishedAt, reason });
    await publish(tx, { type: "run_changed", run: id });
  }
  for (const [pool, ofPool] of Map.groupBy(waiting, (run) => run.pool)) {
    const ids = ofPool.flatMap((run) => run.messageId ?? []);
    await queue.withdraw(tx, attemptQueue(pool), ids);
  }
}

/**
 * Has a locked, running run ended by its worker, on whichever node; it holds its place until then. A second request
 * changes nothing, and is signalled again.
 */
async function cancelRunning(tx: Tx, id: string, reason: string): Promise<void> {
  await requestCancel(tx, { id, at: await databaseNow(tx), reason });
  await publish(tx, { type: "cancel", run: id });
  await publish(tx, { type: "run_changed", run: id });
}

/** A run that holds a place of its job. */
export interface Holder extends WaitingRun {
  state: RunState;
  cancelRequestedAt: Date | null;
}

/** Locks the runs of a job that hold its places, and reads them, oldest first. */
async function lockHolders(tx: Tx, jobId: string): Promise<Holder[]> {
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
