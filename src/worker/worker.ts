/** Claims attempts of one pool, runs their commands and settles them. */
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { isDatabaseAway } from "../db/failures.ts";
import { startClaimLoop } from "../engine/claim-loop.ts";
import { ClaimLost, type Message } from "../engine/engine.ts";
import { type AttemptMessage, attemptQueue } from "../engine/queues.ts";
import type { Deps } from "../orchestrator/deps.ts";
import { type AttemptResult, settleAttempt } from "../orchestrator/settle-attempt.ts";
import { type AttemptOrder, startAttempt } from "../orchestrator/start-attempt.ts";
import { createClaims } from "./claims.ts";
import { type CommandOutcome, type RunningCommand, startCommand } from "./command.ts";
import { attemptOutcome } from "./outcome.ts";

/** Wait before a settlement is tried again that the database did not take. */
const SETTLE_AGAIN_MS = 1_000;
/** Tries of a settlement that fails though the database answers: then the attempt counts as lost. */
const SETTLE_TRIES = 5;

export interface WorkerOptions {
  /** Shown in the history: which worker ran an attempt. */
  name: string;
  pool: string;
  /** Commands at once. */
  concurrency: number;
  /** What commands inherit of our environment. */
  baseEnv: Readonly<Record<string, string>>;
  /** Working directories are relative to this. */
  jobsDir: string;
  log: Logger;
}

export interface Worker {
  /** Claims nothing more, gives running commands `graceMs`, and hands back the rest unconsumed (promise 9). */
  stop(graceMs: number): Promise<void>;
}

export function startWorker(deps: Deps, options: WorkerOptions): Worker {
  const queue = attemptQueue(options.pool);
  const onError = (error: Error) => options.log.error({ err: error }, "the worker had an error");
  const claims = createClaims(deps.engine, queue, onError);
  const running = new Set<RunningCommand>();

  let handingBack = false;

  const handle = async (message: Message<AttemptMessage>) => {
    const order = await startAttempt(deps, message, options.name).catch(ignoreClaimLost);
    if (order === undefined) return;
    const command = startCommand(commandOf(order, options));
    claims.hold(message, () => command.kill("lost"));
    running.add(command);
    if (handingBack) command.kill("handed_back");
    try {
      await settle(message, attemptResult(await command.finished));
    } finally {
      running.delete(command);
      claims.release(message);
    }
  };
  /** Tries while the database is away, for as long as the claim may be ours. */
  const settle = async (message: Message<AttemptMessage>, result: AttemptResult) => {
    for (let refusals = 0; refusals < SETTLE_TRIES && claims.has(message); ) {
      try {
        return await settleAttempt(deps, message, result);
      } catch (error) {
        options.log.error({ err: error, run_id: message.data.run_id }, "an attempt could not be settled");
        if (error instanceof ClaimLost) return;
        if (!isDatabaseAway(error)) refusals++;
        await delay(SETTLE_AGAIN_MS);
      }
    }
  };
  const { engine, signals } = deps;
  const loop = startClaimLoop({ engine, signals, queue, concurrency: options.concurrency, handle, onError });
  return {
    async stop(graceMs) {
      const stopped = loop.stop();
      const handBack = setTimeout(() => {
        handingBack = true;
        for (const command of running) command.kill("handed_back");
      }, graceMs);
      await stopped;
      clearTimeout(handBack);
      claims.close();
    },
  };
}

function commandOf(order: AttemptOrder, options: WorkerOptions) {
  return {
    command: order.command,
    env: { ...options.baseEnv, ...order.env },
    cwd: resolve(options.jobsDir, order.workingDirectory ?? "."),
    ...(order.timeoutMs !== null && { timeoutMs: order.timeoutMs }),
  };
}

function attemptResult({ end, output, omittedBytes }: CommandOutcome): AttemptResult {
  const outcome = attemptOutcome(end);
  if (end.kind !== "start_failed") return { outcome, output: new Uint8Array(output), omittedBytes };
  return { outcome, output: new TextEncoder().encode(`${end.message}\n`), omittedBytes, reason: end.message };
}

/** A message that somebody else has taken is theirs to handle. */
function ignoreClaimLost(error: unknown): undefined {
  if (!(error instanceof ClaimLost)) throw error;
}
