/** Cancels runs: on request, when their job is deleted, or when a newer run replaces them. */
import { audit } from "../access/audit.ts";
import type { Caller } from "../access/rules/grants.ts";
import { CarillonError, runNotFound } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { MAX_WAITING } from "../jobs/rules/definition.ts";
import { databaseNow, type SqlTx, type Tx } from "../postgres/client.ts";
import { attemptQueue } from "../queue/messages.ts";
import type { Queue } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { releaseWaiting, waitingForPlace } from "./release.ts";
import type { RunState } from "./rules/states.ts";
import { lockRun, moveRuns } from "./transitions.ts";

/** Returns the ids of the running runs among `ids` for which a cancellation was requested. */
export async function findCancelRequests(tx: Tx, ids: readonly string[]): Promise<string[]> {
  const rows = await tx.run.findMany({
    where: { id: { in: [...ids] }, state: "running", cancelRequestedAt: { not: null } },
    select: { id: true },
  });
  return rows.map(({ id }) => id);
}

/** Locks the queued and retrying runs of jobs. */
async function lockWaitingRuns(tx: SqlTx, jobIds: readonly string[]): Promise<WaitingRun[]> {
  return tx.$queryRaw`
    SELECT run.id, run.message_id AS "messageId", r.pool
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.job_id = ANY(${[...jobIds]}::uuid[]) AND run.ended_as IS NULL AND run.state <> 'running'
    ORDER BY run.id FOR UPDATE OF run`;
}

/** A queued or retrying run. */
export interface WaitingRun {
  id: string;
  /** null: the run waits for a place. */
  messageId: string | null;
  pool: string;
}

/** Locks the job of a run if the job has a limit, and returns its id. Call this before you lock the run. */
async function lockLimitedJob(tx: SqlTx, runId: string): Promise<string | undefined> {
  const [row] = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM job WHERE id = (SELECT job_id FROM run WHERE id = ${runId}::uuid) AND concurrency_limit IS NOT NULL
    FOR NO KEY UPDATE`;
  return row?.id;
}

const ON_REQUEST = "cancelled on request";

/**
 * Cancels a run. A waiting run ends at once. A running one ends when its worker, on any node, has ended the command.
 * Returns whether the run has ended. Throws run_not_found, run_ended.
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
      throw new CarillonError("run_ended", `The run has already ended: it is ${run.state}.`);
  }
}

/** Cancels the queued and retrying runs of deleted jobs. */
export async function cancelRunsOfJobs(queue: Queue, tx: Tx, jobIds: readonly string[]): Promise<void> {
  await cancelWaiting(queue, tx, await lockWaitingRuns(tx, jobIds), "the job was deleted");
}

/** Cancels locked runs that are queued or retrying, and withdraws their messages. */
async function cancelWaiting(
  queue: Queue,
  tx: SqlTx,
  waiting: readonly WaitingRun[],
  reason: string,
): Promise<void> {
  const finishedAt = await databaseNow(tx);
  // The status of an earlier attempt is kept.
  const set = { finishedAt, reason, messageId: null, nextAttemptAt: null };
  await moveRuns(
    tx,
    waiting.map(({ id }) => ({ id, to: "cancelled", set })),
  );
  for (const { id } of waiting) publish(tx, { type: "run_changed", run: id, ended: true });
  for (const [pool, ofPool] of Map.groupBy(waiting, (run) => run.pool)) {
    const ids = ofPool.flatMap((run) => run.messageId ?? []);
    await queue.withdraw(tx, attemptQueue(pool), ids);
  }
}

/**
 * Asks the worker of a locked, running run to end it. Until then the run holds its place. A second request only sends
 * the signal again.
 */
async function cancelRunning(tx: SqlTx, id: string, reason: string): Promise<void> {
  await tx.$executeRaw`
    UPDATE run SET cancel_requested_at = now(), reason = ${reason}
    WHERE id = ${id}::uuid AND state = 'running' AND cancel_requested_at IS NULL`;
  publish(tx, { type: "cancel", run: id });
  publish(tx, { type: "run_changed", run: id });
}

/** A run that holds a place of its job. */
export interface Holder extends WaitingRun {
  state: RunState;
  cancelRequestedAt: Date | null;
}

/** Locks the runs of a job that hold its places, and reads them, oldest first. */
async function lockHolders(tx: SqlTx, jobId: string): Promise<Holder[]> {
  return tx.$queryRaw`
    SELECT run.id, run.state, run.message_id AS "messageId", run.cancel_requested_at AS "cancelRequestedAt", r.pool
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.job_id = ${jobId}::uuid AND run.ended_as IS NULL
      AND (run.state <> 'queued' OR run.message_id IS NOT NULL)
    ORDER BY run.id FOR UPDATE OF run`;
}

/**
 * Replaces the oldest active run of a job by the newest waiting run, and cancels all other waiting runs. The newest run
 * starts at once if the replaced run has not started yet; otherwise it starts when the command of that run has ended.
 * Call this in the transaction that made a run wait, with its job locked.
 */
export async function replaceRuns(queue: Queue, tx: SqlTx, jobId: string): Promise<void> {
  const waiting = await waitingForPlace(tx, jobId, MAX_WAITING);
  const newest = waiting.at(-1);
  if (newest === undefined) return;
  const reason = `replaced by run ${newest.id}`;
  const older = waiting.slice(0, -1).map((run) => ({ ...run, messageId: null }));
  await cancelWaiting(queue, tx, older, reason);
  const holders = await lockHolders(tx, jobId);
  const [oldest] = holders;
  // A run that is already being cancelled will free its place.
  if (oldest === undefined || holders.some((run) => run.cancelRequestedAt !== null)) return;
  if (oldest.state === "running") return cancelRunning(tx, oldest.id, reason);
  await cancelWaiting(queue, tx, [oldest], reason);
  await releaseWaiting(queue, tx, jobId);
}
