/** Ends locked runs before their time: those that wait at once, a running one by way of its worker. */

import type { Deps } from "../deps.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { attemptQueue } from "../queue/messages.ts";
import { publish } from "../queue/signals.ts";
import { cancelWaitingRun, requestCancel, type WaitingRun } from "./transitions.ts";

/** Cancels locked runs that are queued or retrying, and takes their messages back. */
export async function cancelWaiting(
  deps: Deps,
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
    await deps.engine.withdraw(tx, attemptQueue(pool), ids);
  }
}

/**
 * Has a locked, running run ended by its worker, on whichever node; it holds its place until then. A second request
 * changes nothing, and is signalled again.
 */
export async function cancelRunning(tx: Tx, id: string, reason: string): Promise<void> {
  await requestCancel(tx, { id, at: await databaseNow(tx), reason });
  await publish(tx, { type: "cancel", run: id });
  await publish(tx, { type: "run_changed", run: id });
}
