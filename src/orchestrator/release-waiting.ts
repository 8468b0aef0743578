/** Lets the oldest waiting runs of a job take the places that are free. */

import { MAX_WAITING } from "../core/job.ts";
import { lockJobLimit, standings, waitingForPlace } from "../db/concurrency.ts";
import { replaceMessages } from "../db/runs.ts";
import { attemptMessage, sendAttempts } from "./attempt-messages.ts";
import { type Deps, newId, type Tx } from "./deps.ts";

/**
 * To be called in the transaction that frees a place, with the job's lock taken before any run's. Answers how many
 * runs may start by it.
 */
export async function releaseWaiting(deps: Deps, tx: Tx, jobId: string): Promise<number> {
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
  await sendAttempts(deps, tx, messages);
  return waiting.length;
}
