/** The end of an attempt: state, events, deliveries, child runs and messages, in one transaction (promise 5). */

import { insertDeliveries, insertRunEvent } from "../deliveries/delivery-rows.ts";
import { thawBody } from "../deliveries/rules/payloads.ts";
import { type Deps, newId } from "../deps.ts";
import { definitionOf } from "../jobs/find.ts";
import { holdJobs, jobsOfSettlement } from "../jobs/locks.ts";
import { completeOutput, storedPieces } from "../logs/pieces.ts";
import { type FinalOutput, type OutputPiece, renderOutput } from "../logs/rules/output.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { attemptMessage, sendAttempts } from "../queue/attempt-messages.ts";
import { type AttemptMessage, DELIVERY_QUEUE } from "../queue/messages.ts";
import { ClaimLost, type Message } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { settlingActions } from "./actions.ts";
import { releaseWaiting } from "./release.ts";
import { type SettledEvent, type Settlement, settle } from "./rules/settlement.ts";
import { type AttemptOutcome, isFinal } from "./rules/states.ts";
import {
  finishAttempt,
  finishRun,
  type LockedRun,
  lockRun,
  requeueRun,
  retryRun,
  runningAttempt,
} from "./transitions.ts";
import { createRuns } from "./trigger.ts";

/** How an attempt ended and what it printed. */
export interface AttemptResult {
  outcome: AttemptOutcome;
  /** Unset: nobody knows more than what is stored. */
  output?: FinalOutput | undefined;
  /** For people: why it did not end by itself. */
  reason?: string | undefined;
}

/**
 * Settles the running attempt of a run. `message` is the claim that is acknowledged with it: the attempt's own
 * message, or the dead letter of it. Throws ClaimLost, with nothing changed, when the claim is no longer
 * ours (promise 3).
 */
export async function settleAttempt(
  deps: Deps,
  message: Message<AttemptMessage>,
  result: AttemptResult,
): Promise<void> {
  await deps.db.transaction(async (tx) => {
    const jobs = await jobsOfSettlement(tx, message.data.run_id);
    await holdJobs(tx, jobs.own === undefined ? jobs.targets : [jobs.own, ...jobs.targets]);
    const run = await lockRun(tx, message.data.run_id);
    const attempt = await runningAttempt(tx, message.data.run_id);
    if (run?.state !== "running" || attempt === undefined || run.messageId !== message.data.message_id) {
      throw new ClaimLost(
        `run ${message.data.run_id} is not being run under message ${message.data.message_id}`,
      );
    }
    const now = await databaseNow(tx);
    const pieces = result.output?.pieces ?? (await storedPieces(tx, attempt.id));
    const settlement = await decide(deps, tx, run, { outcome: result.outcome, pieces }, now);
    await finishAttempt(tx, {
      id: attempt.id,
      outcome: result.outcome,
      finishedAt: now,
      // Why a command was to end is known to the run: on request, or for a newer one.
      reason: result.reason ?? (result.outcome.state === "cancelled" ? (run.reason ?? undefined) : undefined),
    });
    if (result.output !== undefined) await completeOutput(tx, attempt.id, result.output);
    await moveRun(deps, tx, { id: run.id, pool: run.revision.pool }, settlement.run, now);
    if (jobs.own !== undefined && isFinal(settlement.run.state)) await releaseWaiting(deps, tx, jobs.own);
    for (const event of settlement.events) await fireEvent(deps, tx, run, attempt.id, event, now);
    await deps.engine.acknowledge(tx, message);
    await publish(tx, { type: "run_changed", run: run.id });
  });
}

async function decide(
  deps: Deps,
  tx: Tx,
  run: LockedRun,
  { outcome, pieces }: { outcome: AttemptOutcome; pieces: readonly OutputPiece[] },
  now: Date,
): Promise<Settlement> {
  const { retry } = definitionOf(run.revision);
  const { text: log, omittedBytes } = renderOutput(pieces);
  return settle({
    run: {
      id: run.id,
      jobId: run.jobId,
      jobName: run.job.name,
      triggeredAt: run.triggeredAt,
      triggeredBy: run.triggeredBy,
      depth: run.depth,
      attempt: run.attempt,
      fireEvents: run.fireEvents,
      parent: run.parentEvent === null ? undefined : thawBody(run.parentEvent.body),
    },
    // What is running ends; a job that has been deleted is not begun again.
    retry: run.job.deletedAt === null ? retry : { ...retry, limit: 0 },
    actions: await settlingActions(tx, run.revisionId, run.job.scheduleId),
    outcome,
    // Read under the run's lock: a cancel comes before this, or finds the run as we leave it.
    cancelRequested: run.cancelRequestedAt !== null,
    log,
    logTruncated: omittedBytes > 0,
    now,
    random: deps.random(),
  });
}

async function moveRun(
  deps: Deps,
  tx: Tx,
  run: { id: string; pool: string },
  next: Settlement["run"],
  now: Date,
): Promise<void> {
  const { id } = run;
  switch (next.state) {
    case "succeeded":
    case "failed":
    case "cancelled":
      return finishRun(tx, { id, ...next, finishedAt: now });
    case "retrying": {
      const message = attemptMessage(run, newId(), next.nextAttemptAt);
      await retryRun(tx, { id, ...next, messageId: message.id });
      return sendAttempts(deps, tx, [message]);
    }
    case "queued": {
      const message = attemptMessage(run, newId());
      await requeueRun(tx, { id, messageId: message.id });
      return sendAttempts(deps, tx, [message]);
    }
  }
}

async function fireEvent(
  deps: Deps,
  tx: Tx,
  run: LockedRun,
  attemptId: string,
  fired: SettledEvent,
  now: Date,
): Promise<void> {
  const eventId = newId();
  const { event, body, refusals } = fired;
  await insertRunEvent(tx, {
    id: eventId,
    runId: run.id,
    attemptId,
    attempt: run.attempt,
    event,
    body,
    refusals,
    createdAt: now,
  });
  const deliveries = fired.deliveries.map(({ action, url, ...options }) => ({
    action,
    url,
    options,
    id: newId(),
    eventId,
    messageId: newId(),
    createdAt: now,
    nextTryAt: now,
  }));
  await insertDeliveries(tx, deliveries);
  await deps.engine.send(
    tx,
    DELIVERY_QUEUE,
    deliveries.map(({ id, messageId }) => deliveryMessage(id, messageId)),
  );
  await createRuns(
    deps,
    tx,
    fired.triggers.map(({ jobId, triggeredBy }) => ({
      jobId,
      trigger: "job",
      triggeredBy,
      triggeredAt: now,
      parentEventId: eventId,
      depth: run.depth + 1,
    })),
  );
}

/** The message that lets any node make the next try of a delivery, now or from a time on. */
export function deliveryMessage(deliveryId: string, messageId: string, startAfter?: Date) {
  return {
    id: messageId,
    data: { delivery_id: deliveryId, message_id: messageId },
    ...(startAfter && { startAfter }),
  };
}
