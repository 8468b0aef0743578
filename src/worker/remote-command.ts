/** One command that the runner executes for the worker, with its timeout, lease, kill and end. */
import {
  type Command,
  type CommandExit,
  monotonicMs,
  type NoResources,
  type ProcessEnd,
  type StartFailure,
} from "./runner/frames.ts";
import type { ProcessId } from "./runner/processes.ts";
import type { CommandChannel, RunnerProcess } from "./runner-process.ts";

export interface CommandSpec {
  command: Command;
  /** The whole environment of the command; nothing of ours is added. */
  env: Record<string, string>;
  /** An absolute path. */
  cwd: string;
  /** The account that the command runs as; our own when absent. */
  user?: string;
  /** A user id that the command must not have: the database uses it. */
  refusedUid?: number | undefined;
  /** Names of variables in `env` whose values together identify the processes of this command. */
  marker?: readonly string[];
  timeoutMs?: number;
  /** From SIGTERM to SIGKILL; default 5,000. */
  killGraceMs?: number;
  /** The command is killed after this time unless `extendLease` is called; absent when it needs no lease. */
  leaseMs?: number;
}

/** Takes the output chunk by chunk. The next chunk follows, and the command may write more, once it resolves. */
export type OutputConsumer = (chunk: Buffer) => void | Promise<void>;

export type KillReason = "cancelled" | "handed_back" | "lost";

export type CommandEnd =
  | ProcessEnd
  | { kind: "timed_out" }
  | StartFailure
  | NoResources
  | { kind: "killed"; reason: KillReason }
  /** It was killed because its lease expired. */
  | { kind: "lease_expired" }
  /** How far it came is unknown. */
  | { kind: "runner_died" };

export interface RunningCommand {
  /** Its process, in the pid namespace of the runner; undefined when the command could not be started. */
  started: Promise<ProcessId | undefined>;
  /**
   * Resolves when the process has ended, all output was consumed and no process of the command is left.
   * @throws only the first error of the consumer
   */
  finished: Promise<CommandEnd>;
  /** Sends SIGTERM, and SIGKILL after the grace period; `lost` has none. No effect once the command has ended. */
  kill(reason: KillReason): void;
  /** Extends the lease to `ms` from now. No effect on a command without a lease. */
  extendLease(ms: number): void;
}

const KILL_GRACE_MS = 5_000;

/**
 * Starts a command in the runner: a text through `/bin/sh -c`, a list without a shell. stdin is `/dev/null`; stdout
 * and stderr are one pipe. The command has ended when its own process has; the processes it leaves behind are killed.
 * Never throws: a command that cannot be started ends as `start_failed`, with the code of a shell: 127 for a missing
 * command, 126 for everything else.
 * @param runner resolves when there is a runner
 */
export function startRemoteCommand(
  runner: Promise<RunnerProcess>,
  spec: CommandSpec,
  consume: OutputConsumer,
): RunningCommand {
  const { timeoutMs, killGraceMs = KILL_GRACE_MS } = spec;
  const started = Promise.withResolvers<ProcessId | undefined>();
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
    const { command, env, cwd, user, refusedUid, marker = [] } = spec;
    const lease = Number.isFinite(untilMs) && { lease: { untilMs } };
    channel = link.start(
      {
        command,
        env,
        cwd,
        marker,
        ...(user !== undefined && { user }),
        ...lease,
        ...(refusedUid !== undefined && { refusedUid }),
      },
      {
        onStarted: started.resolve,
        onOutput(chunk) {
          consumed = consumed.then(() => consume(chunk)).finally(() => channel?.grant(chunk.length));
          // `finished` reports the error; until then nobody handles it.
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
    // A lost claim leaves no time: another worker is about to start the same run.
    kill: (reason) => force({ kind: "killed", reason }, reason === "lost" ? 0 : killGraceMs),
    extendLease(ms) {
      if (spec.leaseMs === undefined) return;
      untilMs = Math.max(untilMs, monotonicMs() + ms);
      channel?.extend({ untilMs });
    },
  };
}

/** A command that ended before our signal reached it ended by itself. */
function endOf(exited: CommandExit, forcedEnd: CommandEnd | undefined): CommandEnd {
  switch (exited.kind) {
    case "start_failed":
    case "lease_expired":
      return exited;
    case "no_resources":
      return forcedEnd ?? exited;
    case "exited":
    case "signalled": {
      const { signalSent, ...ownEnd } = exited;
      return signalSent && forcedEnd ? forcedEnd : ownEnd;
    }
  }
}
