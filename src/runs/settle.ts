/** Settles attempts: writes states, events, deliveries, child runs and messages in one transaction (promise 5). */
import { createDeliveries } from "../deliveries/create.ts";
import { hostOf } from "../deliveries/rules/host.ts";
import { thawBody } from "../deliveries/rules/payloads.ts";
import type { Infra } from "../infra.ts";
import { completeOutput } from "../logs/pieces.ts";
import { type FinalOutput, type OutputPiece, renderOutput } from "../logs/rules/output.ts";
import { databaseNow, type SqlTx } from "../postgres/client.ts";
import { createBatches, type InTransaction, type Outcome } from "../postgres/coalescer.ts";
import { RowsChanged } from "../postgres/failures.ts";
import { newId } from "../postgres/ids.ts";
import { type AttemptMessage, attemptMessage, DELIVERY_QUEUE, deliveryMessage } from "../queue/messages.ts";
import { ClaimLost, type Message, type Queue, sendAttempts } from "../queue/queue.ts";
import { publish } from "../queue/signals.ts";
import { childRuns, firedEvents, insertRunEvents, newDeliveries } from "./fired-events.ts";
import { releaseWaiting } from "./release.ts";
import { type Reduction, reducedReason, reducedSettlement } from "./rules/reduction.ts";
import { type Settlement, type SettlingAction, settle } from "./rules/settlement.ts";
import { type AttemptOutcome, isFinal } from "./rules/states.ts";
import {
  countChains,
  lockJobsOf,
  readActions,
  readSettlingRuns,
  readStoredPieces,
  type SettlingRow,
} from "./settling-rows.ts";
import { type AttemptEnd, finishAttempts, moveRuns, type RunMove } from "./transitions.ts";
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
 * @param reduction what to leave out, because the database has refused the whole settlement
 */
export function settleAttempt(
  infra: Infra,
  message: Message<AttemptMessage>,
  result: AttemptResult,
  { random, chainRunLimit }: SettlingSettings,
  reduction?: Reduction,
): Promise<void> {
  return settleInBatch(infra, {
    ...{ message, chainRunLimit, reduction },
    result: reduction === undefined ? result : reducedResult(result, reduction),
    random: random(),
  });
}

/** Without the output: what of it is stored already remains. */
function reducedResult({ outcome, reason }: AttemptResult, reduction: Reduction): AttemptResult {
  return { outcome, reason: reducedReason(reason, reduction) };
}

/** What settlements depend on, beside the run and the result. */
export interface SettlingSettings {
  /** A number in [0, 1), which places the delay of a retry within its jitter. */
  random: () => number;
  /** The most runs in one chain. */
  chainRunLimit: number;
}

/** An attempt that has ended, and waits for its batch. */
interface EndedAttempt {
  message: Message<AttemptMessage>;
  result: AttemptResult;
  /** A number in [0, 1), which chooses the jitter of a retry. */
  random: number;
  chainRunLimit: number;
  reduction: Reduction | undefined;
}

/** The most attempts in one transaction. Each may bring a MiB of output. */
const ATTEMPTS_AT_ONCE = 32;

const settleInBatch = createBatches(settleAll, ATTEMPTS_AT_ONCE);

/** Settles attempts in one transaction. An attempt whose claim was lost does not affect the others. */
async function settleAll(
  { queue }: Infra,
  items: readonly EndedAttempt[],
  inTransaction: InTransaction,
): Promise<Outcome<void>[]> {
  return inTransaction(async (tx) => {
    const ids = items.map(({ message }) => message.data.run_id);
    const unknown = items.flatMap(({ message, result, reduction }) =>
      result.output || reduction ? [] : [message.data.run_id],
    );
    // The locks come first: what is read after them is current, and the order of locks is the same everywhere.
    const [locked, runs, chains, actions, pieces, now] = await Promise.all([
      lockJobsOf(
        tx,
        items.map(({ message, result }) => ({ runId: message.data.run_id, ...result.outcome })),
      ),
      readSettlingRuns(tx, ids),
      countChains(tx, ids),
      readActions(tx, ids),
      readStoredPieces(tx, unknown),
      databaseNow(tx),
    ]);
    const plans: Plan[] = [];
    const outcomes = items.map((item): Outcome<void> => {
      const { run_id: runId, message_id: messageId } = item.message.data;
      const run = runs.get(runId);
      if (run?.state !== "running" || run.attemptId === null || run.messageId !== messageId) {
        return { error: new ClaimLost(`run ${runId} is not running under message ${messageId}`) };
      }
      const { attemptId } = run;
      const output = item.result.output?.pieces ?? pieces.get(attemptId) ?? [];
      const chainRuns = chains.get(run.rootId) ?? 1;
      const parentBody = item.reduction ? null : run.parentBody;
      const whole = decide(item, { ...run, parentBody, chainRuns }, actions.of(run), output, now);
      const settlement = reducedSettlement(whole, item.reduction);
      // The next run of the batch may belong to the same chain.
      const children = settlement.events.flatMap(({ triggers }) => triggers);
      chains.set(run.rootId, chainRuns + children.length);
      plans.push({ ...item, run, attemptId, settlement });
      return { value: undefined };
    });
    requireLocks(plans, locked);
    await writeSettlements(queue, tx, plans, now);
    return outcomes;
  });
}

/** Asks the rules. The log is rendered, and the parent's body parsed, only if an action needs them. */
function decide(
  { result: { outcome, reason }, random, chainRunLimit, reduction }: EndedAttempt,
  run: SettlingRow & { chainRuns: number },
  actions: readonly SettlingAction[],
  output: readonly OutputPiece[],
  now: Date,
): Settlement {
  const { id, jobId, jobName, triggeredAt, triggeredBy, depth, chainRuns, attempt, fireEvents, parentBody } =
    run;
  let rendered: ReturnType<typeof renderOutput> | undefined;
  const render = () => {
    rendered ??= renderOutput(output);
    return rendered;
  };
  return settle({
    run: {
      ...{ id, jobId, jobName, triggeredAt, triggeredBy, depth, chainRuns, attempt, fireEvents },
      get parent() {
        return parentBody === null ? undefined : thawBody(parentBody);
      },
    },
    // When a job has been deleted, its running runs may end, but are not retried.
    retry: run.jobDeleted ? { ...run.retry, limit: 0 } : run.retry,
    actions,
    outcome,
    reason,
    chainRunLimit,
    // Read under the lock of the run: a cancellation either committed before, or will find the run settled.
    cancelRequested: run.cancelRequested,
    get log() {
      return render().text;
    },
    get logTruncated() {
      return reduction !== undefined || render().omittedBytes > 0;
    },
    ...{ now, random },
  });
}

/** A settlement to write. */
interface Plan extends EndedAttempt {
  run: SettlingRow;
  attemptId: string;
  settlement: Settlement;
}

/** Throws RowsChanged when a save that committed during the locking made other locks necessary. */
function requireLocks(plans: readonly Plan[], locked: ReadonlySet<string>): void {
  const needed = plans.flatMap(({ run, settlement }) => [
    ...(run.jobLimited ? [run.jobId] : []),
    ...settlement.events.flatMap((event) => event.triggers.map(({ jobId }) => jobId)),
  ]);
  if (needed.some((id) => !locked.has(id))) throw new RowsChanged("a job changed while it was locked");
}

async function writeSettlements(queue: Queue, tx: SqlTx, plans: readonly Plan[], now: Date): Promise<void> {
  if (plans.length === 0) return;
  const moves = plans.map((plan) => moveOf(plan, now));
  const fired = plans.flatMap(firedEvents);
  const deliveries = fired.flatMap((event) => newDeliveries(event, now));
  await Promise.all([
    finishAttempts(
      tx,
      plans.map((plan) => attemptEnd(plan, now)),
    ),
    ...plans.map(({ attemptId, result }) => result.output && completeOutput(tx, attemptId, result.output)),
    moveRuns(
      tx,
      moves.map(({ move }) => move),
    ),
    sendAttempts(
      queue,
      tx,
      moves.flatMap(({ message }) => message ?? []),
    ),
    insertRunEvents(tx, fired, now),
    createDeliveries(tx, deliveries),
    queue.send(
      tx,
      DELIVERY_QUEUE,
      deliveries.flatMap(({ id, url, messageId }) =>
        messageId === null ? [] : [deliveryMessage({ id, host: hostOf(url) }, messageId)],
      ),
    ),
    queue.acknowledge(tx, ...plans.map(({ message }) => message)),
  ]);
  const freed = plans.filter(({ run, settlement }) => run.jobLimited && isFinal(settlement.run.state));
  for (const jobId of new Set(freed.map(({ run }) => run.jobId))) await releaseWaiting(queue, tx, jobId);
  await createRuns(
    queue,
    tx,
    fired.flatMap((event) => childRuns(event, now)),
  );
  for (const { run, settlement } of plans) {
    publish(tx, { type: "run_changed", run: run.id, ended: isFinal(settlement.run.state) });
  }
}

function attemptEnd({ attemptId: id, result, run }: Plan, finishedAt: Date): AttemptEnd {
  const { outcome } = result;
  // The run holds the reason for a cancellation: on request, or replaced by a newer run.
  const reason = result.reason ?? (outcome.state === "cancelled" ? run.reason : null);
  return { id, outcome, finishedAt, reason };
}

/** The change of the run's state, and the message for its next attempt if there is one. */
function moveOf(
  { run, settlement: { run: next } }: Plan,
  now: Date,
): { move: RunMove; message?: ReturnType<typeof attemptMessage> } {
  const { id } = run;
  switch (next.state) {
    case "succeeded":
    case "failed":
    case "cancelled": {
      const { state: to, status, retriesExhausted } = next;
      // A command that ended before the cancellation reached it did not end for that reason.
      const reason = to === "cancelled" ? {} : { reason: null };
      const over = { finishedAt: now, messageId: null, nextAttemptAt: null };
      return { move: { id, to, set: { status, retriesExhausted, ...over, ...reason } } };
    }
    case "retrying": {
      const { status, nextAttempt: attempt, nextAttemptAt } = next;
      const message = attemptMessage(run, newId(), nextAttemptAt);
      return {
        move: { id, to: "retrying", set: { status, attempt, nextAttemptAt, messageId: message.id } },
        message,
      };
    }
    case "queued": {
      const message = attemptMessage(run, newId());
      return { move: { id, to: "queued", set: { messageId: message.id } }, message };
    }
  }
}
