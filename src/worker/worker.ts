/** Claims attempts of one pool, runs their commands and settles them. */
import type { LimitFunction } from "p-limit";
import type { Logger } from "pino";
import type { SecretKeys } from "../access/secret-keys.ts";
import type { Infra } from "../infra.ts";
import type { Monitor, Part } from "../lifecycle.ts";
import { createLiveLogs } from "../logs/live.ts";
import { startClaimLoop } from "../queue/claim-loop.ts";
import { type AttemptMessage, attemptQueue } from "../queue/messages.ts";
import { ClaimLost, type Message } from "../queue/queue.ts";
import { orderOf } from "../runs/attempt-order.ts";
import { persist, type Refusal, reductionOf } from "../runs/persist.ts";
import { SETTLE_TRIES } from "../runs/rules/reduction.ts";
import { type SettlingSettings, settleAttempt } from "../runs/settle.ts";
import { type ClaimedAttempt, claimAttempts, startAttempt } from "../runs/start.ts";
import { attemptResult, type CommandSettings, startCommand } from "./attempt-command.ts";
import { createCancellations } from "./cancellations.ts";
import { type Capacity, createCapacity } from "./capacity.ts";
import { type Claims, createClaims } from "./claims.ts";
import type { CommandEnd, RunningCommand } from "./remote-command.ts";

/** Failed tries of a start while the database answers; then the claim is left to expire. */
const TRIES = 5;

export interface WorkerOptions extends CommandSettings, SettlingSettings {
  /** The history shows it as the worker of an attempt. */
  name: string;
  pool: string;
  /** Commands that may run at the same time. */
  concurrency: number;
  secretKeys: SecretKeys;
  /** Limits how many starts wait for locked runs at once; all workers of a process share it. */
  limitDatabase: LimitFunction;
  /** Time (ms) that running commands still have after the stop of the worker. */
  graceMs: number;
  /** Aborted when the service begins to stop: the worker then claims nothing more, and waits for its `stop`. */
  closing?: AbortSignal;
  /** Counts every claim as a success. */
  monitor: Monitor;
  /** Counts every renewal of claims as a success. */
  renewals: Monitor;
  log: Logger;
}

/** Time (ms) after the grace period: 5 s for commands to react to SIGTERM, the rest to record their attempts. */
const HAND_BACK_MS = 8_000;

/**
 * Starts a worker. `stop` claims nothing more, gives running commands the grace period, and hands back the rest
 * (promise 9).
 */
export function startWorker(infra: Infra, options: WorkerOptions): Part {
  const { db, queue, signals } = infra;
  const queueName = attemptQueue(options.pool);
  const { monitor, graceMs } = options;
  const claims = createClaims(queue, queueName, options.renewals);
  const cancellations = createCancellations(infra, monitor.failed);
  const logs = createLiveLogs(db, monitor.failed);
  const running = new Set<RunningCommand>();
  const capacity = createCapacity(options.concurrency);

  let handingBack = false;

  const handle = async ({ message, run }: ClaimedAttempt) => {
    using cancellation = cancellations.watch(message.data.run_id);
    let command: RunningCommand | undefined;
    // Held before the start, which may wait for locks or for the database.
    claims.hold(
      message,
      () => command?.kill("lost"),
      (leftMs) => command?.extendLease(leftMs),
    );
    try {
      const start = () => options.limitDatabase(() => startAttempt(infra, message, options.name));
      const order = await recordAttempt(message, "started", TRIES, async () => {
        const started = run ?? (await start());
        return started && orderOf(db, started, options.secretKeys);
      });
      if (order === undefined) return;
      const log = logs.open(order);
      command = startCommand(order, message.claimedAt, options, log);
      running.add(command);
      if (!claims.has(message)) command.kill("lost");
      if (handingBack) command.kill("handed_back");
      void cancellation.requested.then(() => command?.kill("cancelled"));
      const end = await command.finished;
      noteResources(end, capacity, running.size - 1, monitor);
      const result = attemptResult(end, order, log);
      await recordAttempt(message, "settled", SETTLE_TRIES, (refusal) =>
        settleAttempt(infra, message, result, options, reductionOf(refusal)),
      );
    } finally {
      if (command !== undefined) running.delete(command);
      claims.release(message);
    }
  };
  const recordAttempt = recorder(options.log, claims);
  const loop = startClaimLoop({
    signals,
    queueName,
    claim: (count) => claimAttempts(infra, { queueName, count, worker: options.name }),
    concurrency: options.concurrency,
    most: () => capacity.free(running.size),
    handle,
    monitor,
    stopMs: graceMs + HAND_BACK_MS,
    ...(options.closing && { closing: options.closing }),
  });
  return {
    ...loop,
    async stop(deadline) {
      const stopped = loop.stop(deadline);
      const handBack = setTimeout(() => {
        handingBack = true;
        for (const command of running) command.kill("handed_back");
      }, graceMs);
      await stopped;
      clearTimeout(handBack);
      claims.close();
      cancellations.close();
      await logs.close();
    },
  };
}

/** Notes whether the machine had the resources for a command beside `others`. */
function noteResources(end: CommandEnd, capacity: Capacity, others: number, monitor: Monitor): void {
  if (end.kind !== "no_resources") {
    capacity.ran();
    return;
  }
  capacity.refused(others);
  monitor.failed(new Error(`${end.message}; the attempt is handed back, and fewer are claimed`));
}

/** Persists the start or the end of an attempt while its claim is ours; see {@link persist}. */
function recorder(log: Logger, claims: Pick<Claims, "has">) {
  return <T>(
    message: Message<AttemptMessage>,
    what: "started" | "settled",
    tries: number,
    work: (refusal: Refusal | undefined) => Promise<T>,
  ): Promise<T | undefined> => {
    const failed = (error: unknown) => {
      const level = error instanceof ClaimLost ? "info" : "error";
      log[level]({ err: error, run_id: message.data.run_id }, `an attempt could not be ${what}`);
    };
    return persist(work, () => claims.has(message), { tries, failed });
  };
}
