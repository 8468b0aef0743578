/** The messages that let workers start attempts. */

import type { Deps } from "../deps.ts";
import type { Tx } from "../postgres/client.ts";
import { type AttemptMessage, attemptQueue } from "./messages.ts";

/** The message that lets a worker of the run's pool start its next attempt, now or from a time on. */
export function attemptMessage(run: { id: string; pool: string }, messageId: string, startAfter?: Date) {
  const data: AttemptMessage = { run_id: run.id, message_id: messageId };
  return { pool: run.pool, id: messageId, data, ...(startAfter && { startAfter }) };
}

/** Sends messages that let workers start attempts, pool by pool. */
export async function sendAttempts(
  deps: Deps,
  tx: Tx,
  messages: readonly ReturnType<typeof attemptMessage>[],
): Promise<void> {
  for (const [pool, ofPool] of Map.groupBy(messages, (message) => message.pool)) {
    await deps.engine.send(tx, attemptQueue(pool), ofPool);
  }
}
