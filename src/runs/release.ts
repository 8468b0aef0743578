/** Lets the oldest waiting runs of a job take the places that are free. */

import { type Deps, newId } from "../deps.ts";
import { lockJobLimit, standings, waitingForPlace } from "../jobs/locks.ts";
import { MAX_WAITING } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import { attemptMessage, sendAttempts } from "../queue/attempt-messages.ts";
import { replaceMessages } from "./transitions.ts";

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
