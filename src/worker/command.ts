/** Runs one command in a process group of its own: start, output, timeout, kill and how it ended. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, closeSync, constants as fsConstants, statSync } from "node:fs";
import { constants as osConstants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { type CapturedOutput, createCapture } from "./output-capture.ts";
import { readOutput, takeOutputPipe } from "./output-pipe.ts";
import { groupIsAlive, signalGroup } from "./process-group.ts";

export interface CommandSpec {
  command: { kind: "shell"; text: string } | { kind: "argv"; argv: readonly string[] };
  /** Complete: nothing of our own environment is added. */
  env: Record<string, string>;
  cwd: string;
  timeoutMs?: number;
  /** From SIGTERM to SIGKILL; 5,000 unless told. */
  killGraceMs?: number;
  /** What is kept of the output; 1 MiB unless told. */
  outputLimitBytes?: number;
}

type KillReason = "cancelled" | "handed_back" | "lost";

type StartFailed = { kind: "start_failed"; code: 126 | 127; message: string };

type CommandEnd =
  | { kind: "exited"; code: number }
  | { kind: "signalled"; signal: NodeJS.Signals; number: number }
  | { kind: "timed_out" }
  | StartFailed
  | { kind: "killed"; reason: KillReason };

export interface CommandOutcome extends CapturedOutput {
  end: CommandEnd;
}

export interface RunningCommand {
  /** Also the id of its process group; absent when the command could not be started. */
  pid?: number;
  /** Never rejects because of what the command is or does. */
  finished: Promise<CommandOutcome>;
  /** Asks the process group to end, and ends it after the grace; `lost` has none. Does nothing once the command has ended. */
  kill(reason: KillReason): void;
}

const LONGEST_POLL_MS = 200;

/**
 * Starts a command: a text through `/bin/sh -c`, a list as it is. stdin is `/dev/null`; stdout and stderr
 * are one pipe. Never throws: what cannot be started ends as `start_failed`, with 127 for a command that
 * is not there and 126 for everything else, as shells do.
 *
 * The command has ended when its own process has; what that left behind in its group is killed.
 * Node reports death by a real-time signal (34 to 64) as exit code 0, and so do we.
 */
export function startCommand(spec: CommandSpec): RunningCommand {
  try {
    const { child, readFd } = spawnIntoPipe(spec);
    if (child.pid !== undefined) return supervise(spec, child, child.pid, readFd);
    closeSync(readFd);
    return notStarted(once(child, "error").then(([error]) => explainStartFailure(spec, error)));
  } catch (error) {
    return notStarted(Promise.resolve(explainStartFailure(spec, error)));
  }
}

/** Some failures are thrown; the others give a child without a pid that emits `error`. */
function spawnIntoPipe({ command, env, cwd }: CommandSpec): { child: ChildProcess; readFd: number } {
  const [file, ...args] = command.kind === "shell" ? ["/bin/sh", "-c", command.text] : command.argv;
  if (file === undefined) throw new Error("the command is an empty list");
  const { readFd, writeFd } = takeOutputPipe();
  try {
    const child = spawn(file, args, { env, cwd, detached: true, stdio: ["ignore", writeFd, writeFd] });
    return { child, readFd };
  } catch (error) {
    closeSync(readFd);
    throw error;
  } finally {
    // The output ends only when nobody holds this end.
    closeSync(writeFd);
  }
}

function supervise(spec: CommandSpec, child: ChildProcess, pid: number, readFd: number): RunningCommand {
  const { timeoutMs, killGraceMs = 5_000, outputLimitBytes = 1_048_576 } = spec;
  const capture = createCapture(outputLimitBytes);
  const reader = readOutput(readFd, capture.write);
  const finished = Promise.withResolvers<CommandOutcome>();
  let exited = false;
  let graceOver = false;
  let forcedEnd: CommandEnd | undefined;
  let graceTimer: NodeJS.Timeout | undefined;

  function force(end: CommandEnd, graceMs = killGraceMs): void {
    if (exited || forcedEnd !== undefined) return;
    forcedEnd = end;
    signalGroup(pid, "SIGTERM");
    graceTimer = setTimeout(() => {
      graceOver = true;
      signalGroup(pid, "SIGKILL");
    }, graceMs);
  }

  async function conclude(ownEnd: CommandEnd): Promise<CommandOutcome> {
    // The grace is the whole group's: a shell dies of SIGTERM at once, the program it runs cleans up.
    for (let pollMs = 10; forcedEnd !== undefined && !graceOver && groupIsAlive(pid); pollMs *= 2) {
      await delay(Math.min(pollMs, LONGEST_POLL_MS));
    }
    clearTimeout(graceTimer);
    // As long as the group has members nobody else gets its id; once it is gone, it is left alone.
    const groupRemains = signalGroup(pid, 0);
    await reader.drain();
    reader.close();
    if (groupRemains) signalGroup(pid, "SIGKILL");
    return { end: forcedEnd ?? ownEnd, ...capture.finish() };
  }

  const timeoutTimer =
    timeoutMs === undefined ? undefined : setTimeout(() => force({ kind: "timed_out" }), timeoutMs);
  child.once("exit", (code, signal) => {
    exited = true;
    clearTimeout(timeoutTimer);
    finished.resolve(conclude(exitEnd(code, signal)));
  });
  return {
    pid,
    finished: finished.promise,
    // A lost claim has no time left: another worker is about to start the same run.
    kill: (reason) => force({ kind: "killed", reason }, reason === "lost" ? 0 : killGraceMs),
  };
}

/** Node gives one of the two, and null for the other. */
function exitEnd(code: number | null, signal: NodeJS.Signals | null): CommandEnd {
  if (signal !== null) return { kind: "signalled", signal, number: osConstants.signals[signal] };
  return { kind: "exited", code: code ?? -1 };
}

function notStarted(end: Promise<StartFailed>): RunningCommand {
  const finished = end.then((end) => ({ end, output: Buffer.alloc(0), omittedBytes: 0 }));
  return { finished, kill: () => undefined };
}

/** `spawn` says ENOENT for a missing command and a missing folder alike, so the folder is looked at first. */
function explainStartFailure({ command, cwd }: CommandSpec, error: unknown): StartFailed {
  const failed = (code: 126 | 127, message: string): StartFailed => ({ kind: "start_failed", code, message });
  const folderProblem = describeFolderProblem(cwd);
  if (folderProblem !== undefined) return failed(126, folderProblem);

  const file = command.kind === "shell" ? "/bin/sh" : command.argv[0];
  switch (errorCode(error)) {
    case "ENOENT":
      // A script whose interpreter is missing exists and still gives ENOENT.
      return failed(127, `command not found: ${file}${file?.includes("/") ? " (or its interpreter)" : ""}`);
    case "EACCES":
      return failed(126, `not an executable file: ${file}`);
    case "E2BIG":
      return failed(126, "the command line and environment are too long");
    default:
      return failed(126, `could not be started: ${error instanceof Error ? error.message : error}`);
  }
}

function describeFolderProblem(cwd: string): string | undefined {
  try {
    if (!statSync(cwd).isDirectory()) return `working directory is not a directory: ${cwd}`;
    accessSync(cwd, fsConstants.X_OK);
    return undefined;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return `working directory not found: ${cwd}`;
    return `working directory cannot be entered: ${cwd} (${errorCode(error)})`;
  }
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
