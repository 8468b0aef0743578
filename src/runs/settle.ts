/** Settles an attempt: writes state, events, deliveries, child runs and messages in one transaction (promise 5). */
import { createDeliveries } from "../deliveries/create.ts";
import { thawBody } from "../deliveries/rules/payloads.ts";
import type { Infra } from "../infra.ts";
import { definitionOf } from "../jobs/find.ts";
import { lockJobsForRuns } from "../jobs/locks.ts";
import { type ActionOptions, actionOptions, type EventName } from "../jobs/rules/definition.ts";
import { completeOutput, storedPieces } from "../logs/pieces.ts";
import { type FinalOutput, type OutputPiece, renderOutput } from "../logs/rules/output.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { newId } from "../postgres/ids.ts";
import { type AttemptMessage, attemptMessage, DELIVERY_QUEUE, deliveryMessage } from "../queue/messages.ts";
import { ClaimLost, type Message, type Queue, sendAttempts } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { releaseWaiting } from "./release.ts";
import { type SettledEvent, type Settlement, type SettlingAction, settle } from "./rules/settlement.ts";
import { type AttemptOutcome, isFinal } from "./rules/states.ts";
import { finishAttempt, type LockedRun, lockRun, moveRun, runningAttempt } from "./transitions.ts";
import { createRuns } from "./trigger.ts";

/** How an attempt ended and what it printed. */
export interface AttemptResult {
  outcome: AttemptOutcome;
  /** Unset: only the stored part of the output is known. */
  output?: FinalOutput | undefined;
  /** Why the command did not end by itself, in words. */
  reason?: string | undefined;
}

/**
 * Settles the running attempt of a run, and acknowledges the claimed message: that of the attempt, or its dead letter.
 * Throws ClaimLost and changes nothing when the claim is no longer ours (promise 3).
 */
export async function settleAttempt(
  { db, queue }: Infra,
  message: Message<AttemptMessage>,
  result: AttemptResult,
  { random }: { random: () => number },
): Promise<void> {
  await db.transaction(async (tx) => {
    const jobs = await jobsToLock(tx, message.data.run_id);
    await lockJobsForRuns(tx, jobs.own === undefined ? jobs.targets : [jobs.own, ...jobs.targets]);
    const run = await lockRun(tx, message.data.run_id);
    const attempt = await runningAttempt(tx, message.data.run_id);
    if (run?.state !== "running" || attempt === undefined || run.messageId !== message.data.message_id) {
      throw new ClaimLost(
        `run ${message.data.run_id} is not running under message ${message.data.message_id}`,
      );
    }
    const now = await databaseNow(tx);
    const pieces = result.output?.pieces ?? (await storedPieces(tx, attempt.id));
    const settlement = await decide(tx, run, { outcome: result.outcome, pieces }, { now, random: random() });
    await finishAttempt(tx, {
      id: attempt.id,
      outcome: result.outcome,
      finishedAt: now,
      // The run holds the reason for a cancellation: on request, or replaced by a newer run.
      reason: result.reason ?? (result.outcome.state === "cancelled" ? (run.reason ?? undefined) : undefined),
    });
    if (result.output !== undefined) await completeOutput(tx, attempt.id, result.output);
    await applyRun(queue, tx, { id: run.id, pool: run.revision.pool }, settlement.run, now);
    if (jobs.own !== undefined && isFinal(settlement.run.state)) await releaseWaiting(queue, tx, jobs.own);
    for (const event of settlement.events) await fireEvent(queue, tx, run, attempt.id, event, now);
    await queue.acknowledge(tx, message);
    await publish(tx, { type: "run_changed", run: run.id });
  });
}

async function decide(
  tx: Tx,
  run: LockedRun,
  { outcome, pieces }: { outcome: AttemptOutcome; pieces: readonly OutputPiece[] },
  moment: { now: Date; random: number },
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
    // When a job has been deleted, its running runs may end, but are not retried.
    retry: run.job.deletedAt === null ? retry : { ...retry, limit: 0 },
    actions: await settlingActions(tx, run.revisionId, run.job.scheduleId),
    outcome,
    // Read under the lock of the run: a cancellation either committed before, or will find the run settled.
    cancelRequested: run.cancelRequestedAt !== null,
    log,
    logTruncated: omittedBytes > 0,
    ...moment,
  });
}

async function applyRun(
  queue: Queue,
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
      return sendAttempts(queue, tx, [message]);
    }
    case "queued": {
      const message = attemptMessage(run, newId());
      await requeueRun(tx, { id, messageId: message.id });
      return sendAttempts(queue, tx, [message]);
    }
  }
}

async function fireEvent(
  queue: Queue,
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
  await createDeliveries(tx, deliveries);
  await queue.send(
    tx,
    DELIVERY_QUEUE,
    deliveries.map(({ id, messageId }) => deliveryMessage(id, messageId)),
  );
  await createRuns(
    queue,
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

async function finishRun(
  tx: Tx,
  run: {
    id: string;
    state: "succeeded" | "failed" | "cancelled";
    status: number;
    retriesExhausted: boolean;
    finishedAt: Date;
  },
): Promise<void> {
  const { id, state, ...data } = run;
  // A command that ended before the cancellation reached it did not end for that reason.
  const reason = state === "cancelled" ? {} : { reason: null };
  await moveRun(tx, id, state, { ...data, ...reason, messageId: null, nextAttemptAt: null });
}

async function retryRun(
  tx: Tx,
  run: { id: string; status: number; nextAttempt: number; nextAttemptAt: Date; messageId: string },
): Promise<void> {
  const { status, nextAttempt, nextAttemptAt, messageId } = run;
  await moveRun(tx, run.id, "retrying", { status, attempt: nextAttempt, nextAttemptAt, messageId });
}

async function requeueRun(tx: Tx, run: { id: string; messageId: string }): Promise<void> {
  await moveRun(tx, run.id, "queued", { messageId: run.messageId });
}

async function insertRunEvent(
  tx: Tx,
  event: {
    id: string;
    runId: string;
    attemptId: string;
    attempt: number;
    event: EventName;
    body: string;
    refusals: { name: string; reason: string }[];
    createdAt: Date;
  },
): Promise<void> {
  await tx.runEvent.create({ data: event });
}

/**
 * The jobs that a settlement may change: the job of the run if it has a limit, and the jobs that its actions may
 * trigger. Lock all of them together, before the run.
 */
async function jobsToLock(tx: Tx, runId: string): Promise<{ own: string | undefined; targets: string[] }> {
  const rows = await tx.$queryRaw<{ id: string; own: boolean }[]>`
    SELECT j.id, true AS own FROM run JOIN job j ON j.id = run.job_id
    WHERE run.id = ${runId}::uuid AND j.concurrency_limit IS NOT NULL
    UNION ALL SELECT DISTINCT a.target_job_id, false FROM run JOIN job j ON j.id = run.job_id
    JOIN event_action a ON a.job_revision_id = run.revision_id OR a.schedule_id = j.schedule_id
    WHERE run.id = ${runId}::uuid AND a.target_job_id IS NOT NULL`;
  return {
    own: rows.find((row) => row.own)?.id,
    targets: rows.filter((row) => !row.own).map((row) => row.id),
  };
}

const TARGET = {
  targetJob: {
    select: { id: true, name: true, deletedAt: true, currentRevision: { select: { enabled: true } } },
  },
} as const;
type ActionRow = Prisma.EventActionGetPayload<{ include: typeof TARGET }>;

/** The actions of a revision, then those of its schedule, with the current states of the jobs that they trigger. */
async function settlingActions(tx: Tx, revisionId: string, scheduleId: string): Promise<SettlingAction[]> {
  const rows = await tx.eventAction.findMany({
    where: { OR: [{ jobRevisionId: revisionId }, { scheduleId }] },
    include: TARGET,
    orderBy: { position: "asc" },
  });
  const own = rows.filter((row) => row.jobRevisionId !== null);
  const shared = rows.filter((row) => row.jobRevisionId === null);
  return [
    ...own.map((row) => settlingAction(row, "job")),
    ...shared.map((row) => settlingAction(row, "schedule")),
  ];
}

function settlingAction(row: ActionRow, level: "job" | "schedule"): SettlingAction {
  const { event, action, targetJob } = row;
  const options = actionOptions(row.options as ActionOptions);
  if (targetJob === null) return { level, event, action, target: row.url ?? "", ...options };
  const { id, name, deletedAt, currentRevision } = targetJob;
  const job = { id, enabled: currentRevision?.enabled ?? false, deleted: deletedAt !== null };
  return { level, event, action, target: name, job };
}
