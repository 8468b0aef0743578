/** Cancels runs: the one that somebody names, and those of jobs that go. */
import { audit } from "../access/audit.ts";
import type { Deps } from "../deps.ts";
import { CarillonError } from "../errors.ts";
import { lockLimitedJob } from "../jobs/locks.ts";
import type { Tx } from "../postgres/client.ts";
import { cancelRunning, cancelWaiting } from "./end-runs.ts";
import { runNotFound } from "./read.ts";
import { releaseWaiting } from "./release.ts";
import { findCancelRequests, lockRun, lockWaitingRuns } from "./transitions.ts";

const ON_REQUEST = "cancelled on request";

/**
 * Cancels a run. One that waits is cancelled at once; a running one when its worker, on whichever node, has ended its
 * command; a cancelled one stays as it is. Answers whether the run has ended. Throws run_not_found, run_ended.
 */
export async function cancelRun(deps: Deps, id: string): Promise<boolean> {
  return deps.db.transaction(async (tx) => {
    const ended = await cancelOne(deps, tx, id);
    await audit(deps, tx, "run.cancel", id);
    return ended;
  });
}

async function cancelOne(deps: Deps, tx: Tx, id: string): Promise<boolean> {
  const limitedJob = await lockLimitedJob(tx, id);
  const run = await lockRun(tx, id);
  switch (run?.state) {
    case undefined:
      throw runNotFound(id);
    case "queued":
    case "retrying":
      await cancelWaiting(deps, tx, [{ ...run, pool: run.revision.pool }], ON_REQUEST);
      if (limitedJob !== undefined) await releaseWaiting(deps, tx, limitedJob);
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

/** Which of these runs are to be ended by whoever runs them. */
export async function cancelRequests(deps: Deps, ids: readonly string[]): Promise<string[]> {
  return ids.length === 0 ? [] : findCancelRequests(deps.db.prisma, ids);
}

/** Cancels the queued and retrying runs of jobs that are being deleted. */
export async function cancelRunsOfJobs(deps: Deps, tx: Tx, jobIds: readonly string[]): Promise<void> {
  await cancelWaiting(deps, tx, await lockWaitingRuns(tx, jobIds), "the job was deleted");
}
