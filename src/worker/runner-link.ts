/** One runner process as the worker sees it: started, spoken to in frames, watched. */

import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import {
  type Credit,
  createFrameReader,
  decodePayload,
  type Exited,
  encodeFrame,
  FRAME,
  type Frame,
  type FrameType,
  type Lease,
  monotonicMs,
  type SignalOrder,
  type Started,
  type StartOrder,
} from "./runner/frames.ts";
import { readProcess } from "./runner/processes.ts";
import { createWatchdog } from "./watchdog.ts";

const MAIN = fileURLToPath(new URL("./runner/main.ts", import.meta.url));
/** Every megabyte of the runner is copied for every command that it starts. */
const NODE_FLAGS = ["--max-semi-space-size=1", "--v8-pool-size=1"];
const CONFIRM_MS = 5_000;
/** A runner that is not ready so long after its start is killed, in ms. */
const READY_MS = 20_000;
/** A runner that has been told to end and has not is killed, in ms. */
const CLOSE_MS = 10_000;
/** Characters of what a runner said that could not be started. */
const LONGEST_COMPLAINT = 2_000;

export interface LinkOptions {
  /** Put before the command line, to start it in a PID namespace. */
  prefix: readonly string[];
  /** Where it keeps its journal; absent: it needs none. */
  journalFolder?: string;
  /** Where Node keeps what it has compiled, so that the runner need not load the compiler. */
  cacheFolder: string;
  /** Where programs are looked for. */
  path: string | undefined;
  /** A runner that has commands and is silent for so long hangs, and is killed; 5,000 ms unless told. */
  confirmMs?: number;
  /** Told what the runner writes to its stderr, line by line. */
  onLog(line: string): void;
}

/** What a command has to say. */
export interface CommandEvents {
  onStarted(started: Started): void;
  onOutput(chunk: Buffer): void;
  onExited(exited: Exited): void;
  /** The runner is dead, and what the command had started is too. */
  onLost(): void;
}

/** What one can tell a command. */
export interface CommandChannel {
  signal(signal: SignalOrder["signal"]): void;
  grant(bytes: number): void;
  extend(lease: Lease): void;
}

interface WatchedCommand {
  events: CommandEvents;
  /** When its lease is over, on the clock of `monotonicMs`. */
  untilMs: number;
}

export interface RunnerLink {
  pid: number;
  /** A command that comes when the runner is dead is lost. */
  start(order: StartOrder, events: CommandEvents): CommandChannel;
  /** Resolves when the runner is dead and all it said was heard; answers the commands that had not ended. */
  died: Promise<CommandEvents[]>;
  /** Ends the runner, and with it all its commands. */
  close(): Promise<void>;
}

/** Starts a runner. Rejects with what it wrote to stderr when it ends before it is ready. */
export async function openRunnerLink(options: LinkOptions): Promise<RunnerLink> {
  const child = spawnRunner(options);
  const commands = new Map<number, WatchedCommand>();
  const ready = Promise.withResolvers<void>();
  const socket = child.stdio[3] as Socket;
  const send = (type: FrameType, command: number, payload: object) => {
    if (socket.writable) socket.write(encodeFrame(type, command, payload));
  };
  const kill = () => void child.kill("SIGKILL");
  const watchdog = createWatchdog({
    confirmMs: options.confirmMs ?? CONFIRM_MS,
    isBusy: () => commands.size > 0,
    isLeaseOver: () => [...commands.values()].some(({ untilMs }) => untilMs < monotonicMs()),
    ping: () => send(FRAME.ping, 0, {}),
    onSilence: kill,
  });
  const startTimer = setTimeout(kill, READY_MS).unref();
  let complaints = "";
  createInterface({ input: child.stderr as Readable }).on("line", (line) => {
    complaints = `${complaints}${line}\n`.slice(-LONGEST_COMPLAINT);
    options.onLog(line);
  });

  const died = Promise.withResolvers<CommandEvents[]>();
  socket.on("data", watchdog.heard);
  socket.on(
    "data",
    createFrameReader((frame) => receive(frame, commands, ready.resolve)),
  );
  // An error is followed by `close`. Without its socket a runner is of no use.
  socket.on("error", () => undefined);
  socket.on("close", () => setTimeout(kill, CLOSE_MS).unref());
  child.on("error", (error) => {
    complaints += error.message;
  });
  let isDead = false;
  child.on("close", () => {
    isDead = true;
    watchdog.stop();
    ready.reject(new Error(complaints.trim() || "the runner ended at once"));
    died.resolve([...commands.values()].map(({ events }) => events));
  });
  await ready.promise.finally(() => clearTimeout(startTimer));

  let lastNumber = 0;
  return {
    pid: child.pid ?? 0,
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

function receive(frame: Frame, commands: Map<number, WatchedCommand>, onReady: () => void): void {
  const events = commands.get(frame.command)?.events;
  switch (frame.type) {
    case FRAME.ready:
      onReady();
      break;
    case FRAME.started:
      events?.onStarted(decodePayload<Started>(frame));
      break;
    case FRAME.output:
      events?.onOutput(frame.payload);
      break;
    case FRAME.exited:
      commands.delete(frame.command);
      events?.onExited(decodePayload<Exited>(frame));
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

function spawnRunner({ prefix, journalFolder, cacheFolder, path }: LinkOptions): ChildProcess {
  const worker = [process.pid, readProcess(process.pid)?.startTime ?? 0].map(String);
  const journal = journalFolder ? [journalFolder, ...worker] : [];
  const runner = [process.execPath, ...NODE_FLAGS, MAIN, ...journal];
  const [file = process.execPath, ...args] = [...prefix, ...runner];
  return spawn(file, args, {
    cwd: "/",
    // A session of its own: Ctrl-C in the terminal is the service's to act on.
    detached: true,
    env: { ...(path !== undefined && { PATH: path }), TMPDIR: tmpdir(), NODE_COMPILE_CACHE: cacheFolder },
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
}
