/** Turns the order of an attempt into a command for the runner, and the end of the command into a result. */
import { resolve } from "node:path";
import type { LiveLog } from "../logs/live.ts";
import { wholeOutput } from "../logs/rules/output.ts";
import { claimTimeLeftMs } from "../queue/messages.ts";
import type { AttemptOrder } from "../runs/attempt-order.ts";
import type { AttemptResult } from "../runs/settle.ts";
import { attemptOutcome, attemptReason } from "./outcome.ts";
import type { CommandEnd, CommandSpec, RunningCommand } from "./remote-command.ts";
import type { Runner } from "./runner-supervisor.ts";

/** Variables whose values together identify the processes of one attempt. */
const MARKER = ["CARILLON_RUN_ID", "CARILLON_ATTEMPT"];

/** Where and with what commands run. */
export interface CommandSettings {
  /** The variables of our environment that commands inherit. */
  baseEnv: Readonly<Record<string, string>>;
  /** Working directories are relative to this. */
  jobsDir: string;
  /** A user id that no command may have: the embedded database uses it. */
  refusedUid?: number | undefined;
  runner: Runner;
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

/**
 * Starts the command of an attempt.
 * @param claimedAt when its message was claimed, in monotonic ms: the command must end with the claim
 */
export function startCommand(
  order: AttemptOrder,
  claimedAt: number,
  settings: CommandSettings,
  log: LiveLog,
): RunningCommand {
  if (order.problem !== undefined) return notStarted(order.problem);
  return settings.runner.start(commandSpec(order, claimedAt, settings), log.write);
}

function commandSpec(
  order: AttemptOrder,
  claimedAt: number,
  { baseEnv, jobsDir, refusedUid }: CommandSettings,
): CommandSpec {
  return {
    command: order.command,
    env: { ...inheritedEnv(baseEnv, order.user), ...order.env },
    cwd: resolve(jobsDir, order.workingDirectory ?? "."),
    marker: MARKER,
    refusedUid,
    ...(order.user !== null && { user: order.user }),
    leaseMs: claimTimeLeftMs(claimedAt),
    ...(order.timeoutMs !== null && { timeoutMs: order.timeoutMs }),
  };
}

/** The result of an attempt whose command has ended. */
export function attemptResult(end: CommandEnd, { timeoutMs }: AttemptOrder, log: LiveLog): AttemptResult {
  const outcome = attemptOutcome(end);
  const reason = attemptReason(end, timeoutMs);
  const output = log.finish();
  if (end.kind !== "start_failed") return { outcome, output, reason };
  return { outcome, output: wholeOutput(new TextEncoder().encode(`${end.message}\n`)), reason };
}
