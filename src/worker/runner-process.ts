/** Starts one runner process, exchanges frames with it, and watches that it answers. */

import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { endInUnits } from "../text/cuts.ts";
import {
  type CommandExit,
  type Credit,
  createFrameReader,
  decodePayload,
  encodeFrame,
  FRAME,
  type Frame,
  type FrameType,
  type Lease,
  monotonicMs,
  type Ready,
  type SignalOrder,
  type StartOrder,
} from "./runner/frames.ts";
import { type ProcessId, readProcess } from "./runner/processes.ts";
import { createWatchdog } from "./runner-watchdog.ts";

const MAIN = fileURLToPath(new URL("./runner/runner.ts", import.meta.url));
/**
 * Keeps the runner small: each spawn copies its page tables. Its time goes to system calls, so it needs neither a young
 * generation that grows, nor the optimizing compilers, nor garbage that waits until the heap has doubled.
 */
const NODE_FLAGS = ["--max-semi-space-size=1", "--v8-pool-size=1", "--optimize-for-size", "--max-opt=1"];
const CONFIRM_MS = 5_000;
/** A runner that is not ready this long after its start is killed, in ms. */
const READY_MS = 20_000;
/** A runner that has not ended this long after its socket closed is killed, in ms. */
const CLOSE_MS = 10_000;
/** Characters kept of the stderr of a runner that could not be started. */
const MAX_COMPLAINT = 2_000;

export interface RunnerProcessOptions {
  /** Words before the command line that start it in a PID namespace. */
  prefix: readonly string[];
  /** Folder of its journal; absent when it needs none. */
  journalFolder?: string;
  /** Node's compile cache, so that the runner does not load the TypeScript compiler. */
  cacheFolder: string;
  /** PATH of the runner itself. */
  path: string | undefined;
  /** A runner that has commands and does not answer for this long is killed; default 5,000 ms. */
  confirmMs?: number;
  /** Called for each line that the runner writes to stderr. */
  onLog(line: string): void;
}

/** What happens to a command. */
export interface CommandEvents {
  onStarted(root: ProcessId): void;
  onOutput(chunk: Buffer): void;
  onExited(exited: CommandExit): void;
  /** The runner is dead, and so is everything that the command started. */
  onLost(): void;
}

/** Controls one command. */
export interface CommandChannel {
  signal(signal: SignalOrder["signal"]): void;
  grant(bytes: number): void;
  extend(lease: Lease): void;
}

interface WatchedCommand {
  events: CommandEvents;
  /** End of its lease, on the clock of `monotonicMs`. */
  untilMs: number;
}

export interface RunnerProcess {
  pid: number;
  /** As in {@link Ready}. */
  hasCompiler: boolean;
  /** Starts a command; it is lost if the runner is dead. */
  start(order: StartOrder, events: CommandEvents): CommandChannel;
  /** Resolves with the unfinished commands when the runner is dead and everything it sent was handled. */
  died: Promise<CommandEvents[]>;
  /** Ends the runner and all its commands. */
  close(): Promise<void>;
}

/**
 * Starts a runner.
 * @throws an error with its stderr output when it ends before it is ready
 */
export async function startRunnerProcess(options: RunnerProcessOptions): Promise<RunnerProcess> {
  const child = spawnRunner(options);
  const commands = new Map<number, WatchedCommand>();
  const ready = Promise.withResolvers<Ready>();
  const socket = child.stdio[3] as Socket;
  const send = (type: FrameType, command: number, payload: object) => {
    if (socket.writable) socket.write(encodeFrame(type, command, payload));
  };
  const kill = () => void child.kill("SIGKILL");
  const watchdog = createWatchdog({
    confirmMs: options.confirmMs ?? CONFIRM_MS,
    isBusy: () => commands.size > 0,
    isLeaseExpired: () => [...commands.values()].some(({ untilMs }) => untilMs < monotonicMs()),
    ping: () => send(FRAME.ping, 0, {}),
    onSilence: kill,
  });
  const startTimer = setTimeout(kill, READY_MS).unref();
  let complaints = "";
  createInterface({ input: child.stderr as Readable }).on("line", (line) => {
    complaints = endInUnits(`${complaints}${line}\n`, MAX_COMPLAINT);
    options.onLog(line);
  });

  const died = Promise.withResolvers<CommandEvents[]>();
  socket.on("data", watchdog.heard);
  socket.on(
    "data",
    createFrameReader((frame) => receive(frame, commands, ready.resolve)),
  );
  // `close` follows an error. A runner without its socket is useless.
  socket.on("error", () => undefined);
  socket.on("close", () => setTimeout(kill, CLOSE_MS).unref());
  child.on("error", (error) => {
    complaints += error.message;
  });
  let isDead = false;
  child.on("close", () => {
    isDead = true;
    watchdog.stop();
    ready.reject(new Error(complaints.trim() || "the runner ended before it was ready"));
    died.resolve([...commands.values()].map(({ events }) => events));
  });
  const { hasCompiler } = await ready.promise.finally(() => clearTimeout(startTimer));

  let lastNumber = 0;
  return {
    pid: child.pid ?? 0,
    hasCompiler,
    start(order, events) {
      const number = ++lastNumber;
      const command = { events, untilMs: order.lease?.untilMs ?? Number.POSITIVE_INFINITY };
      if (isDead) queueMicrotask(events.onLost);
      else commands.set(number, command);
      send(FRAME.start, number, order);
      watchdog.watch();
      return {
        signal(signal) {
          send(FRAME.signal, number, { signal } satisfies SignalOrder);
        },
        grant: (bytes) => send(FRAME.credit, number, { bytes } satisfies Credit),
        extend(lease) {
          command.untilMs = lease.untilMs;
          send(FRAME.lease, number, lease);
        },
      };
    },
    died: died.promise,
    async close() {
      socket.end();
      await died.promise;
    },
  };
}

function receive(frame: Frame, commands: Map<number, WatchedCommand>, onReady: (ready: Ready) => void): void {
  const events = commands.get(frame.command)?.events;
  switch (frame.type) {
    case FRAME.ready:
      onReady(decodePayload<Ready>(frame));
      break;
    case FRAME.started:
      events?.onStarted(decodePayload<ProcessId>(frame));
      break;
    case FRAME.output:
      events?.onOutput(frame.payload);
      break;
    case FRAME.exited:
      commands.delete(frame.command);
      events?.onExited(decodePayload<CommandExit>(frame));
      break;
    case FRAME.pong:
      break;
    case FRAME.start:
    case FRAME.signal:
    case FRAME.credit:
    case FRAME.lease:
    case FRAME.ping:
      throw new Error(`frame ${frame.type} is not for the worker`);
  }
}

function spawnRunner({ prefix, journalFolder, cacheFolder, path }: RunnerProcessOptions): ChildProcess {
  const worker = [process.pid, readProcess(process.pid)?.startTime ?? 0].map(String);
  const journal = journalFolder ? [journalFolder, ...worker] : [];
  const runner = [process.execPath, ...NODE_FLAGS, MAIN, ...journal];
  const [file = process.execPath, ...args] = [...prefix, ...runner];
  return spawn(file, args, {
    cwd: "/",
    // Its own session, so that Ctrl-C in the terminal reaches only the service.
    detached: true,
    env: { ...(path !== undefined && { PATH: path }), TMPDIR: tmpdir(), NODE_COMPILE_CACHE: cacheFolder },
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
}
