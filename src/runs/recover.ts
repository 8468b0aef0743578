/** Recovers from crashes: settles attempts of dead workers, and sends missing messages of runs and deliveries. */
import { lockDelivery, pendingDeliveries, replaceDeliveryMessage } from "../deliveries/delivery-rows.ts";
import type { Infra } from "../infra.ts";
import { type Monitor, type Part, startTicking } from "../lifecycle.ts";
import type { Tx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { startClaimLoop } from "../queue/claim-loop.ts";
import {
  type AttemptMessage,
  attemptMessage,
  DELIVERY_QUEUE,
  deliveryMessage,
  LOST_QUEUE,
} from "../queue/messages.ts";
import { type Message, type Queue, sendAttempts, unlessClaimLost } from "../queue/queue.ts";
import { releaseWaiting } from "./release.ts";
import { isFinal } from "./rules/states.ts";
import { settleAttempt } from "./settle.ts";
import { type LockedRun, lockRun, replaceMessages } from "./transitions.ts";

/** Runs that have not ended, oldest first, after `afterId`. */
async function activeRuns(
  tx: Tx,
  afterId: string | undefined,
  limit: number,
): Promise<{ id: string; jobId: string; messageId: string | null }[]> {
  return tx.run.findMany({
    where: {
      state: { in: ["queued", "running", "retrying"] },
      ...(afterId === undefined ? {} : { id: { gt: afterId } }),
    },
    select: { id: true, jobId: true, messageId: true },
    orderBy: { id: "asc" },
    take: limit,
  });
}

const BATCH = 500;
const LOST_REASON = "the worker stopped responding; the result of its command is unknown";

/** Handles a dead letter: the worker of the attempt has stopped renewing its claim. */
export async function settleLost(
  infra: Infra,
  message: Message<AttemptMessage>,
  settings: { random: () => number },
): Promise<void> {
  const { db, queue } = infra;
  const { run_id: runId, message_id: messageId } = message.data;
  const running = await db.transaction(async (tx) => {
    const run = await lockRun(tx, runId);
    if (run?.state === "running" && run.messageId === messageId) return true;
    // The message was claimed, but the attempt never started: the run needs a new message.
    if (run?.messageId === messageId) await resend(queue, tx, run);
    await queue.acknowledge(tx, message);
    return false;
  });
  if (!running) return;
  await settleAttempt(
    infra,
    message,
    { outcome: { state: "lost", status: -1 }, reason: LOST_REASON },
    settings,
  );
}

/** Sends a new message for each run and delivery that has no live message. Returns how many there were. */
export async function recoverRuns(infra: Infra): Promise<number> {
  const runs = await recoverAll(infra, activeRuns, recoverRun);
  return runs + (await recoverAll(infra, pendingDeliveries, recoverDelivery));
}

type RecoveryCandidate = { id: string; jobId?: string; messageId: string | null };

/** Reads the candidates in batches, and recovers those without a live message. Returns how many it recovered. */
async function recoverAll(
  { db, queue }: Infra,
  find: (tx: Tx, afterId: string | undefined, limit: number) => Promise<RecoveryCandidate[]>,
  recover: (queue: Queue, tx: Tx, candidate: RecoveryCandidate) => Promise<boolean>,
): Promise<number> {
  let recovered = 0;
  let last: string | undefined;
  for (;;) {
    const batch = await find(db.prisma, last, BATCH);
    const live = await queue.liveMessages(
      db.prisma,
      batch.flatMap((one) => one.messageId ?? []),
    );
    for (const candidate of batch) {
      if (candidate.messageId !== null && live.has(candidate.messageId)) continue;
      if (await db.transaction((tx) => recover(queue, tx, candidate))) recovered++;
    }
    last = batch.at(-1)?.id;
    if (batch.length < BATCH) return recovered;
  }
}

async function recoverRun(
  queue: Queue,
  tx: Tx,
  { id, jobId, messageId }: RecoveryCandidate,
): Promise<boolean> {
  // The run waits for a place. A crash may have freed one without releasing the run.
  if (messageId === null && jobId !== undefined) return (await releaseWaiting(queue, tx, jobId)) > 0;
  const run = await lockRun(tx, id);
  if (run === undefined || isFinal(run.state)) return false;
  // Check again under the lock: the run may have changed since it was read.
  if (await hasLiveMessage(queue, tx, run.messageId)) return false;
  if (run.state === "running") {
    const data = { run_id: id, message_id: run.messageId ?? newId() };
    await replaceMessages(tx, [{ id, messageId: data.message_id }]);
    await queue.send(tx, LOST_QUEUE, [{ id: newId(), data }]);
  } else {
    await resend(queue, tx, run);
  }
  return true;
}

async function recoverDelivery(queue: Queue, tx: Tx, { id }: RecoveryCandidate): Promise<boolean> {
  const delivery = await lockDelivery(tx, id);
  if (delivery?.state !== "pending" || (await hasLiveMessage(queue, tx, delivery.messageId))) return false;
  const message = deliveryMessage(id, newId(), delivery.nextTryAt ?? undefined);
  await replaceDeliveryMessage(tx, id, { messageId: message.id });
  await queue.send(tx, DELIVERY_QUEUE, [message]);
  return true;
}

async function hasLiveMessage(queue: Queue, tx: Tx, messageId: string | null): Promise<boolean> {
  return messageId !== null && (await queue.liveMessages(tx, [messageId])).has(messageId);
}

async function resend(queue: Queue, tx: Tx, { id, revision, nextAttemptAt }: LockedRun): Promise<void> {
  const message = attemptMessage({ id, pool: revision.pool }, newId(), nextAttemptAt ?? undefined);
  await replaceMessages(tx, [{ id, messageId: message.id }]);
  await sendAttempts(queue, tx, [message]);
}

const EVERY_MS = 60_000;
const CONCURRENCY = 4;

/** Settles the attempts of dead workers, on every node. */
export function startSettlingLost(
  infra: Infra,
  { random, monitor }: { random: () => number; monitor: Monitor },
): Part {
  const { queue, signals } = infra;
  return startClaimLoop({
    signals,
    queueName: LOST_QUEUE,
    claim: (count) => queue.claim<AttemptMessage>(LOST_QUEUE, count),
    concurrency: CONCURRENCY,
    handle: (message) => unlessClaimLost(settleLost(infra, message, { random })),
    monitor,
    stopMs: 1_500,
  });
}

/** Looks for missing messages at once and then every minute, on every node. */
export function startRecovery(infra: Infra, monitor: Monitor): Part {
  const tick = async () => void (await recoverRuns(infra));
  return startTicking({ monitor, tick, waitMs: () => EVERY_MS, stopMs: 1_500 });
}
