/** Ends runs that have not begun. */
import { DEFAULT_POOL } from "../core/job.ts";
import { databaseNow } from "../db/client.ts";
import { cancelWaitingRun, lockWaitingRuns } from "../db/runs.ts";
import { attemptQueue } from "../engine/queues.ts";
import { publish } from "../engine/signals.ts";
import type { Deps, Tx } from "./deps.ts";

/** Cancels the queued and retrying runs of jobs, and takes their messages back. */
export async function cancelWaitingRuns(
  deps: Deps,
  tx: Tx,
  jobIds: readonly string[],
  reason: string,
): Promise<void> {
  const waiting = await lockWaitingRuns(tx, jobIds);
  const finishedAt = await databaseNow(tx);
  for (const { id } of waiting) {
    await cancelWaitingRun(tx, { id, finishedAt, reason });
    await publish(tx, { type: "run_changed", run: id });
  }
  await deps.engine.withdraw(
    tx,
    attemptQueue(DEFAULT_POOL),
    waiting.flatMap((run) => run.messageId ?? []),
  );
}
