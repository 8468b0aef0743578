/** Recovers from crashes: settles attempts of dead workers, and sends missing messages of runs and deliveries. */
import { recoverDeliveries } from "../deliveries/recover.ts";
import type { Infra } from "../infra.ts";
import { type Monitor, type Part, startTicking } from "../lifecycle.ts";
import type { Tx } from "../postgres/client.ts";
import { startClaimLoop } from "../queue/claim-loop.ts";
import { type AttemptMessage, LOST_QUEUE } from "../queue/messages.ts";
import { ClaimLost, type Message, type Queue, unlessClaimLost } from "../queue/queue.ts";
import { persist, reductionOf } from "./persist.ts";
import { jobsWithFreePlaces, recoverActiveRuns, resendMessages } from "./recovered-rows.ts";
import { releaseWaiting } from "./release.ts";
import { SETTLE_TRIES } from "./rules/reduction.ts";
import { type SettlingSettings, settleAttempt } from "./settle.ts";
import { lockRun } from "./transitions.ts";

const BATCH = 500;
/** Time (ms) for the settlement of a dead letter; the claim lasts a minute. */
const SETTLE_LOST_MS = 40_000;
const LOST_REASON = "the worker stopped responding; the result of its command is unknown";

/** Handles a dead letter: the worker of the attempt has stopped renewing its claim. */
export async function settleLost(
  infra: Infra,
  message: Message<AttemptMessage>,
  settings: SettlingSettings,
  failed: (error: unknown) => void,
): Promise<void> {
  const { db, queue } = infra;
  const { run_id: runId, message_id: messageId } = message.data;
  const running = await db.transaction(async (tx) => {
    const run = await lockRun(tx, runId);
    if (run?.state === "running" && run.messageId === messageId) return true;
    // The message was claimed, but the attempt never started: the run needs a new message.
    if (run?.messageId === messageId) {
      await resendMessages(queue, tx, [{ ...run, pool: run.revision.pool }]);
    }
    await queue.acknowledge(tx, message);
    return false;
  });
  if (!running) return;
  const result = { outcome: { state: "lost", status: -1 }, reason: LOST_REASON } as const;
  await persist(
    (refusal) => settleAttempt(infra, message, result, settings, reductionOf(refusal)),
    () => performance.now() - message.claimedAt < SETTLE_LOST_MS,
    { tries: SETTLE_TRIES, failed: (error) => error instanceof ClaimLost || failed(error) },
  );
}

/**
 * Sends a new message for each run and delivery that has no live message. Returns how many there were. Ends early when
 * another node does this.
 */
export async function recoverRuns(infra: Infra): Promise<number> {
  const released = await releaseMissed(infra);
  const runs = await inBatches(infra, recoverActiveRuns);
  return released + runs + (await inBatches(infra, recoverDeliveries));
}

/** A crash may have freed a place of a job without releasing a run that waits for it. */
async function releaseMissed({ db, queue }: Infra): Promise<number> {
  let released = 0;
  for (const jobId of await jobsWithFreePlaces(db.prisma)) {
    const done = await db.transaction(async (tx) =>
      (await tryRecoveryLock(tx)) ? releaseWaiting(queue, tx, jobId) : undefined,
    );
    if (done === undefined) return released;
    released += done;
  }
  return released;
}

/** Each batch is one transaction, which only one node at a time has. */
async function inBatches<Cursor>(
  { db, queue }: Infra,
  recover: (
    queue: Queue,
    tx: Tx,
    after: Cursor | undefined,
    limit: number,
  ) => Promise<{ recovered: number; last: Cursor | undefined }>,
): Promise<number> {
  let recovered = 0;
  let last: Cursor | undefined;
  do {
    const done = await db.transaction(async (tx) =>
      (await tryRecoveryLock(tx)) ? recover(queue, tx, last, BATCH) : undefined,
    );
    if (done === undefined) return recovered;
    recovered += done.recovered;
    last = done.last;
  } while (last !== undefined);
  return recovered;
}

/** Locks recovery until the transaction ends; returns false when another transaction holds the lock. */
async function tryRecoveryLock(tx: Tx): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ locked: boolean }[]>`
    SELECT pg_try_advisory_xact_lock(hashtextextended('recovery', 0)) AS locked`;
  return row?.locked === true;
}

const EVERY_MS = 60_000;
const CONCURRENCY = 4;

/** Settles the attempts of dead workers, on every node. */
export function startSettlingLost(
  infra: Infra,
  { monitor, ...settings }: SettlingSettings & { monitor: Monitor },
): Part {
  const { queue, signals } = infra;
  return startClaimLoop({
    signals,
    queueName: LOST_QUEUE,
    claim: (count) => queue.claim<AttemptMessage>(LOST_QUEUE, count),
    concurrency: CONCURRENCY,
    handle: (message) => unlessClaimLost(settleLost(infra, message, settings, monitor.failed)),
    monitor,
    stopMs: 1_500,
  });
}

/** Looks for missing messages at once and then every minute. All nodes do this, but only one at a time. */
export function startRecovery(infra: Infra, monitor: Monitor): Part {
  const tick = async () => void (await recoverRuns(infra));
  return startTicking({ monitor, tick, waitMs: () => EVERY_MS, stopMs: 1_500 });
}
