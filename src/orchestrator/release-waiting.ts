/** Lets the oldest waiting runs of a job take the places that are free. */

import { MAX_WAITING } from "../core/job.ts";
import { lockJobLimit, standings, waitingForPlace } from "../db/concurrency.ts";
import { replaceMessage } from "../db/runs.ts";
import type { Deps, Tx } from "./deps.ts";
import { newId } from "./deps.ts";
import { attemptMessage, sendAttempt } from "./trigger-run.ts";

/**
 * To be called in the transaction that frees a place, with the job's lock taken before any run's. Answers how many
 * runs may start by it.
 */
export async function releaseWaiting(deps: Deps, tx: Tx, jobId: string): Promise<number> {
  const limit = await lockJobLimit(tx, jobId);
  if (limit === undefined) return 0;
  const holding = (await standings(tx, [jobId])).get(jobId)?.holding ?? 0;
  const free = limit === null ? MAX_WAITING : Math.max(0, limit - holding);
  const released = await waitingForPlace(tx, jobId, free);
  for (const id of released) {
    const message = attemptMessage(id, newId());
    await replaceMessage(tx, { id, messageId: message.id });
    await sendAttempt(deps, tx, message);
  }
  return released.length;
}
