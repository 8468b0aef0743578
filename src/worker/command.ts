/** One command as the worker sees it: run by the runner, with a timeout, a way to end it, and how it ended. */
import {
  type Command,
  type Exited,
  monotonicMs,
  type ProcessEnd,
  type Started,
  type StartFailed,
} from "./runner/frames.ts";
import type { CommandChannel, RunnerLink } from "./runner-link.ts";

export interface CommandSpec {
  command: Command;
  /** Complete: nothing of our own environment is added. */
  env: Record<string, string>;
  /** Absolute. */
  cwd: string;
  /** The account that it runs as; absent: ours. */
  user?: string;
  /** Names of variables in `env` that together mark the processes of this command, and no others. */
  marker?: readonly string[];
  timeoutMs?: number;
  /** From SIGTERM to SIGKILL; 5,000 unless told. */
  killGraceMs?: number;
  /** It is killed when so much time has passed and `extendLease` was not called; absent: it needs no lease. */
  leaseMs?: number;
}

/** Takes the output chunk by chunk; the next one comes, and the command may write on, once it has resolved. */
export type OutputConsumer = (chunk: Buffer) => void | Promise<void>;

export type KillReason = "cancelled" | "handed_back" | "lost";

export type CommandEnd =
  | ProcessEnd
  | { kind: "timed_out" }
  | StartFailed
  | { kind: "killed"; reason: KillReason }
  /** It was killed because nobody extended its lease. */
  | { kind: "lease_over" }
  /** What it did is not known. */
  | { kind: "runner_died" };

export interface RunningCommand {
  /** Its process, as the runner sees it; undefined when the command could not be started. */
  started: Promise<Started | undefined>;
  /**
   * Resolves when its process has ended, all output was consumed and nothing of it is left, whatever the command
   * is or does. Rejects only with the first error of the consumer.
   */
  finished: Promise<CommandEnd>;
  /** Asks the process group to end, and ends it after the grace; `lost` has none. Nothing once it has ended. */
  kill(reason: KillReason): void;
  /** Lets it run for so long from now, in ms; nothing for a command that needs no lease. */
  extendLease(ms: number): void;
}

const KILL_GRACE_MS = 5_000;

/**
 * Starts a command: a text through `/bin/sh -c`, a list as it is. stdin is `/dev/null`; stdout and stderr
 * are one pipe. Never throws: what cannot be started ends as `start_failed`, with 127 for a command that
 * is not there and 126 for everything else, as shells do.
 *
 * The command has ended when its own process has; what that left behind is killed.
 * @param runner the runner, once there is one
 */
export function startCommand(
  runner: Promise<RunnerLink>,
  spec: CommandSpec,
  consume: OutputConsumer,
): RunningCommand {
  const { timeoutMs, killGraceMs = KILL_GRACE_MS } = spec;
  const started = Promise.withResolvers<Started | undefined>();
  const ended = Promise.withResolvers<CommandEnd>();
  let channel: CommandChannel | undefined;
  let forcedEnd: CommandEnd | undefined;
  let consumed = Promise.resolve();
  let untilMs = monotonicMs() + (spec.leaseMs ?? Number.POSITIVE_INFINITY);
  let timeoutTimer: NodeJS.Timeout | undefined;
  let graceTimer: NodeJS.Timeout | undefined;

  function end(how: CommandEnd): void {
    clearTimeout(timeoutTimer);
    clearTimeout(graceTimer);
    started.resolve(undefined);
    ended.resolve(how);
  }

  function force(how: CommandEnd, graceMs = killGraceMs): void {
    if (forcedEnd !== undefined) return;
    forcedEnd = how;
    if (channel === undefined) {
      end(how);
      return;
    }
    channel.signal("SIGTERM");
    graceTimer = setTimeout(() => channel?.signal("SIGKILL"), graceMs);
  }

  void runner.then((link) => {
    if (forcedEnd !== undefined) return;
    const { command, env, cwd, user, marker = [] } = spec;
    const lease = Number.isFinite(untilMs) && { lease: { untilMs } };
    channel = link.start(
      { command, env, cwd, marker, ...(user !== undefined && { user }), ...lease },
      {
        onStarted: started.resolve,
        onOutput(chunk) {
          consumed = consumed.then(() => consume(chunk)).finally(() => channel?.grant(chunk.length));
          // Told by `finished`; until then it is nobody's.
          consumed.catch(() => undefined);
        },
        onExited: (exited) => end(endOf(exited, forcedEnd)),
        onLost: () => end({ kind: "runner_died" }),
      },
    );
    if (timeoutMs !== undefined) timeoutTimer = setTimeout(() => force({ kind: "timed_out" }), timeoutMs);
  });

  return {
    started: started.promise,
    finished: ended.promise.then((how) => consumed.then(() => how)),
    // A lost claim has no time left: another worker is about to start the same run.
    kill: (reason) => force({ kind: "killed", reason }, reason === "lost" ? 0 : killGraceMs),
    extendLease(ms) {
      if (spec.leaseMs === undefined) return;
      untilMs = Math.max(untilMs, monotonicMs() + ms);
      channel?.extend({ untilMs });
    },
  };
}

/** What ended by itself before our signal reached it did not end because of us. */
function endOf(exited: Exited, forcedEnd: CommandEnd | undefined): CommandEnd {
  switch (exited.kind) {
    case "start_failed":
    case "lease_over":
      return exited;
    case "exited":
    case "signalled": {
      const { signalSent, ...ownEnd } = exited;
      return signalSent && forcedEnd ? forcedEnd : ownEnd;
    }
  }
}
