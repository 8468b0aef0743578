/** Lets the newest run of a job whose policy is `replace` take the place of the oldest one that goes on. */

import type { Deps } from "../deps.ts";
import { lockHolders, waitingForPlace } from "../jobs/locks.ts";
import { MAX_WAITING } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import { cancelRunning, cancelWaiting } from "./end-runs.ts";
import { releaseWaiting } from "./release.ts";

/**
 * To be called in the transaction that made a run wait, with its job locked. Of the runs that wait only the newest
 * stays. It starts at once where the run that it replaces has not begun, else when that one's command has ended.
 */
export async function replaceRuns(deps: Deps, tx: Tx, jobId: string): Promise<void> {
  const waiting = await waitingForPlace(tx, jobId, MAX_WAITING);
  const newest = waiting.at(-1);
  if (newest === undefined) return;
  const reason = `replaced by run ${newest.id}`;
  const older = waiting.slice(0, -1).map((run) => ({ ...run, messageId: null }));
  await cancelWaiting(deps, tx, older, reason);
  const holders = await lockHolders(tx, jobId);
  const [oldest] = holders;
  // A place that is about to be free is enough.
  if (oldest === undefined || holders.some((run) => run.cancelRequestedAt !== null)) return;
  if (oldest.state === "running") return cancelRunning(tx, oldest.id, reason);
  await cancelWaiting(deps, tx, [oldest], reason);
  await releaseWaiting(deps, tx, jobId);
}
