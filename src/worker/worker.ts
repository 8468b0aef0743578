/** Claims attempts of one pool, runs their commands and settles them. */

import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LimitFunction } from "p-limit";
import type { Logger } from "pino";
import type { SecretKeys } from "../access/secret-keys.ts";
import type { Infra } from "../infra.ts";
import type { Monitor, Part } from "../lifecycle.ts";
import { createLiveLogs, type LiveLog } from "../logs/live.ts";
import { wholeOutput } from "../logs/rules/output.ts";
import { isDatabaseAway } from "../postgres/failures.ts";
import { startClaimLoop } from "../queue/claim-loop.ts";
import { type AttemptMessage, attemptQueue, claimTimeLeftMs } from "../queue/messages.ts";
import { ClaimLost, type Message } from "../queue/queue.ts";
import { type AttemptResult, settleAttempt } from "../runs/settle.ts";
import { type AttemptOrder, type ClaimedAttempt, claimAttempts, startAttempt } from "../runs/start.ts";
import { createCancellations } from "./cancellations.ts";
import { createClaims } from "./claims.ts";
import { attemptOutcome, attemptReason } from "./outcome.ts";
import type { CommandEnd, CommandSpec, RunningCommand } from "./remote-command.ts";
import type { Runner } from "./runner-supervisor.ts";

/** Wait (ms) before another try of a start or a settlement that failed in the database. */
const RETRY_MS = 1_000;
/** Failed tries while the database answers; then the claim is left to expire. */
const TRIES = 5;
/** Variables whose values together identify the processes of one attempt. */
const MARKER = ["CARILLON_RUN_ID", "CARILLON_ATTEMPT"];

export interface WorkerOptions {
  /** The history shows it as the worker of an attempt. */
  name: string;
  pool: string;
  /** Commands that may run at the same time. */
  concurrency: number;
  /** The variables of our environment that commands inherit. */
  baseEnv: Readonly<Record<string, string>>;
  /** Working directories are relative to this. */
  jobsDir: string;
  runner: Runner;
  secretKeys: SecretKeys;
  /** A number in [0, 1), which places the delay of a retry within its jitter. */
  random: () => number;
  /** Limits how many starts wait for locked runs at once; all workers of a process share it. */
  limitDatabase: LimitFunction;
  /** Time (ms) that running commands still have after the stop of the worker. */
  graceMs: number;
  /** Aborted when the service begins to stop: the worker then claims nothing more, and waits for its `stop`. */
  closing?: AbortSignal;
  monitor: Monitor;
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
  const claims = createClaims(queue, queueName, monitor.failed);
  const cancellations = createCancellations(infra, monitor.failed);
  const logs = createLiveLogs(db, monitor.failed);
  const running = new Set<RunningCommand>();

  let handingBack = false;

  const handle = async ({ message, order: started }: ClaimedAttempt) => {
    using cancellation = cancellations.watch(message.data.run_id);
    let command: RunningCommand | undefined;
    // Held before the start, which may wait for locks or for the database.
    claims.hold(
      message,
      () => command?.kill("lost"),
      (leftMs) => command?.extendLease(leftMs),
    );
    try {
      const start = () => options.limitDatabase(() => startAttempt(infra, message, options.name, options));
      const order = started ?? (await recordAttempt(message, "started", start));
      if (order === undefined) return;
      const log = logs.open(order);
      command = runOrder(order, message, options, log);
      running.add(command);
      if (!claims.has(message)) command.kill("lost");
      if (handingBack) command.kill("handed_back");
      void cancellation.requested.then(() => command?.kill("cancelled"));
      const result = attemptResult(await command.finished, order, log);
      await recordAttempt(message, "settled", () => settleAttempt(infra, message, result, options));
    } finally {
      if (command !== undefined) running.delete(command);
      claims.release(message);
    }
  };
  /** Retries while the database is away and the claim may still be valid; undefined when it did not succeed. */
  const recordAttempt = async <T>(message: Message<AttemptMessage>, what: string, work: () => Promise<T>) => {
    for (let refusals = 0; refusals < TRIES && claims.has(message); ) {
      try {
        return await work();
      } catch (error) {
        const level = error instanceof ClaimLost ? "info" : "error";
        options.log[level]({ err: error, run_id: message.data.run_id }, `an attempt could not be ${what}`);
        // Another worker has the message, or will get it.
        if (error instanceof ClaimLost) return undefined;
        if (!isDatabaseAway(error)) refusals++;
        await delay(RETRY_MS);
      }
    }
    return undefined;
  };
  const { name: worker, secretKeys } = options;
  const loop = startClaimLoop({
    signals,
    queueName,
    claim: (count) => claimAttempts(infra, { queueName, count, worker, secretKeys }),
    concurrency: options.concurrency,
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

/** Leaves out what differs for another account: its home, name and shell. */
function inheritedEnv(
  baseEnv: Readonly<Record<string, string>>,
  user: string | null,
): Record<string, string> {
  if (user === null) return { ...baseEnv };
  const { HOME: _home, USER: _user, SHELL: _shell, ...shared } = baseEnv;
  return shared;
}

/** A command that is never started, because its order has a problem. */
function notStarted(message: string): RunningCommand {
  const end = { kind: "start_failed", code: 126, message } as const;
  return {
    started: Promise.resolve(undefined),
    finished: Promise.resolve(end),
    kill: () => undefined,
    extendLease: () => undefined,
  };
}

function runOrder(
  order: AttemptOrder,
  message: Message<AttemptMessage>,
  options: WorkerOptions,
  log: LiveLog,
): RunningCommand {
  if (order.problem !== undefined) return notStarted(order.problem);
  return options.runner.start(commandSpec(order, message, options), log.write);
}

function commandSpec(
  order: AttemptOrder,
  { claimedAt }: Message<AttemptMessage>,
  options: WorkerOptions,
): CommandSpec {
  return {
    command: order.command,
    env: { ...inheritedEnv(options.baseEnv, order.user), ...order.env },
    cwd: resolve(options.jobsDir, order.workingDirectory ?? "."),
    marker: MARKER,
    ...(order.user !== null && { user: order.user }),
    leaseMs: claimTimeLeftMs(claimedAt),
    ...(order.timeoutMs !== null && { timeoutMs: order.timeoutMs }),
  };
}

function attemptResult(end: CommandEnd, { timeoutMs }: AttemptOrder, log: LiveLog): AttemptResult {
  const outcome = attemptOutcome(end);
  const reason = attemptReason(end, timeoutMs);
  const output = log.finish();
  if (end.kind !== "start_failed") return { outcome, output, reason };
  return { outcome, output: wholeOutput(new TextEncoder().encode(`${end.message}\n`)), reason };
}
