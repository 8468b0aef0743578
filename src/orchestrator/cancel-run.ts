/** Ends runs that have not begun. */
import { CarillonError } from "../core/errors.ts";
import { DEFAULT_POOL } from "../core/job.ts";
import { databaseNow } from "../db/client.ts";
import { lockLimitedJob } from "../db/concurrency.ts";
import { cancelWaitingRun, lockRun, lockWaitingRuns } from "../db/runs.ts";
import { attemptQueue } from "../engine/queues.ts";
import { publish } from "../engine/signals.ts";
import type { Deps, Tx } from "./deps.ts";
import { runNotFound } from "./read-history.ts";
import { releaseWaiting } from "./release-waiting.ts";

/** Cancels a queued or retrying run; a cancelled one stays as it is. Throws run_not_found, run_running, run_ended. */
export async function cancelRun(deps: Deps, id: string): Promise<void> {
  await deps.db.transaction(async (tx) => {
    const limitedJob = await lockLimitedJob(tx, id);
    const run = await lockRun(tx, id);
    switch (run?.state) {
      case undefined:
        throw runNotFound(id);
      case "queued":
      case "retrying":
        await cancelWaiting(deps, tx, [run], "cancelled on request");
        if (limitedJob !== undefined) await releaseWaiting(deps, tx, limitedJob);
        return;
      case "cancelled":
        return;
      case "running":
        throw new CarillonError("run_running", "only queued and retrying runs can be cancelled as yet");
      case "succeeded":
      case "failed":
      case "skipped":
      case "missed":
        throw new CarillonError("run_ended", `the run has ended: it is ${run.state}`);
    }
  });
}

/** Cancels the queued and retrying runs of jobs that are being deleted. */
export async function cancelRunsOfJobs(deps: Deps, tx: Tx, jobIds: readonly string[]): Promise<void> {
  await cancelWaiting(deps, tx, await lockWaitingRuns(tx, jobIds), "the job was deleted");
}

/** Cancels locked runs and takes their messages back. */
async function cancelWaiting(
  deps: Deps,
  tx: Tx,
  runs: readonly { id: string; messageId: string | null }[],
  reason: string,
): Promise<void> {
  const finishedAt = await databaseNow(tx);
  for (const { id } of runs) {
    await cancelWaitingRun(tx, { id, finishedAt, reason });
    await publish(tx, { type: "run_changed", run: id });
  }
  await deps.engine.withdraw(
    tx,
    attemptQueue(DEFAULT_POOL),
    runs.flatMap((run) => run.messageId ?? []),
  );
}
