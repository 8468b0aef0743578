/** A claimed message becomes a running attempt: what the worker is to run, or nothing when the message is stale. */
import type { Command } from "../core/job.ts";
import { databaseNow } from "../db/client.ts";
import { definitionOf } from "../db/definitions.ts";
import { beginRun, insertAttempt, lockRun } from "../db/runs.ts";
import type { Message } from "../engine/engine.ts";
import type { AttemptMessage } from "../engine/queues.ts";
import { publish } from "../engine/signals.ts";
import { type Deps, newId } from "./deps.ts";

/** What a worker runs. */
export interface AttemptOrder {
  runId: string;
  attemptId: string;
  command: Command;
  /** The job's env with the trigger's over it. */
  env: Record<string, string>;
  workingDirectory: string | null;
  timeoutMs: number | null;
}

/**
 * Records that `worker` begins the attempt that the message stands for.
 * @returns undefined when the run no longer waits for this message, which is then acknowledged
 */
export async function startAttempt(
  deps: Deps,
  message: Message<AttemptMessage>,
  worker: string,
): Promise<AttemptOrder | undefined> {
  return deps.db.transaction(async (tx) => {
    const run = await lockRun(tx, message.data.run_id);
    const waits = run !== undefined && (run.state === "queued" || run.state === "retrying");
    if (!waits || run.messageId !== message.id) {
      await deps.engine.acknowledge(tx, message);
      return undefined;
    }
    const now = await databaseNow(tx);
    const attemptId = newId();
    await beginRun(tx, { id: run.id, startedAt: run.startedAt ?? now });
    await insertAttempt(tx, { id: attemptId, runId: run.id, number: run.attempt, worker, startedAt: now });
    await publish(tx, { type: "run_changed", run: run.id });
    const { command, env, workingDirectory, timeoutMs } = definitionOf(run.revision);
    const triggerEnv = run.env as Record<string, string>;
    return { runId: run.id, attemptId, command, env: { ...env, ...triggerEnv }, workingDirectory, timeoutMs };
  });
}
