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
  type SignalOrder,
  type Started,
  type StartOrder,
} from "./runner/frames.ts";

const MAIN = fileURLToPath(new URL("./runner/main.ts", import.meta.url));
/** Every megabyte of the runner is copied for every command that it starts. */
const NODE_FLAGS = ["--max-semi-space-size=1", "--v8-pool-size=1"];
const CONFIRM_MS = 5_000;
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
  /** A runner that does not confirm a signal for so long hangs, and is killed; 5,000 ms unless told. */
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

export interface RunnerLink {
  pid: number;
  start(order: StartOrder, events: CommandEvents): CommandChannel;
  /** Resolves when the runner is dead and all it said was heard; answers the commands that had not ended. */
  died: Promise<CommandEvents[]>;
  /** Ends the runner, and with it all its commands. */
  close(): Promise<void>;
}

/** Starts a runner. Rejects with what it wrote to stderr when it ends before it is ready. */
export async function openRunnerLink(options: LinkOptions): Promise<RunnerLink> {
  const child = spawnRunner(options);
  const commands = new Map<number, CommandEvents>();
  const ready = Promise.withResolvers<void>();
  const socket = child.stdio[3] as Socket;
  const watchdog = createWatchdog(options.confirmMs ?? CONFIRM_MS, () => child.kill("SIGKILL"));
  let complaints = "";
  createInterface({ input: child.stderr as Readable }).on("line", (line) => {
    complaints = `${complaints}${line}\n`.slice(-LONGEST_COMPLAINT);
    options.onLog(line);
  });

  const died = Promise.withResolvers<CommandEvents[]>();
  socket.on(
    "data",
    createFrameReader((frame) => receive(frame, commands, ready.resolve, watchdog.confirmed)),
  );
  // An error is followed by `close`. Without its socket a runner is of no use.
  socket.on("error", () => undefined);
  socket.on("close", () => setTimeout(() => child.kill("SIGKILL"), CLOSE_MS).unref());
  child.on("error", (error) => {
    complaints += error.message;
  });
  child.on("close", () => {
    watchdog.stop();
    ready.reject(new Error(complaints.trim() || "the runner ended at once"));
    died.resolve([...commands.values()]);
  });
  await ready.promise;

  let lastNumber = 0;
  const send = (type: FrameType, command: number, payload: object) => {
    if (socket.writable) socket.write(encodeFrame(type, command, payload));
  };
  return {
    pid: child.pid ?? 0,
    start(order, events) {
      const number = ++lastNumber;
      commands.set(number, events);
      send(FRAME.start, number, order);
      return {
        signal(signal) {
          if (!commands.has(number)) return;
          send(FRAME.signal, number, { signal } satisfies SignalOrder);
          watchdog.expect();
        },
        grant: (bytes) => send(FRAME.credit, number, { bytes } satisfies Credit),
        extend: (lease) => send(FRAME.lease, number, lease),
      };
    },
    died: died.promise,
    async close() {
      socket.end();
      await died.promise;
    },
  };
}

function receive(
  frame: Frame,
  commands: Map<number, CommandEvents>,
  onReady: () => void,
  onSignalled: () => void,
): void {
  const events = commands.get(frame.command);
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
    case FRAME.signalled:
      onSignalled();
      break;
    case FRAME.exited:
      commands.delete(frame.command);
      events?.onExited(decodePayload<Exited>(frame));
      break;
    case FRAME.start:
    case FRAME.signal:
    case FRAME.credit:
    case FRAME.lease:
      throw new Error(`frame ${frame.type} is not for the worker`);
  }
}

function spawnRunner({ prefix, journalFolder, cacheFolder, path }: LinkOptions): ChildProcess {
  const runner = [process.execPath, ...NODE_FLAGS, MAIN, ...(journalFolder ? [journalFolder] : [])];
  const [file = process.execPath, ...args] = [...prefix, ...runner];
  return spawn(file, args, {
    cwd: "/",
    // A session of its own: Ctrl-C in the terminal is the service's to act on.
    detached: true,
    env: { ...(path !== undefined && { PATH: path }), TMPDIR: tmpdir(), NODE_COMPILE_CACHE: cacheFolder },
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
}

/** Barks when something that is expected is not confirmed in time. */
function createWatchdog(patienceMs: number, onSilence: () => void) {
  let expected = 0;
  let timer: NodeJS.Timeout | undefined;
  function watch(): void {
    clearTimeout(timer);
    if (expected === 0) return;
    timer = setTimeout(() => {
      const before = expected;
      // When it was us who stood still, the confirmation waits to be read.
      setImmediate(() => {
        if (expected >= before && expected > 0) onSilence();
      });
    }, patienceMs).unref();
  }
  return {
    expect() {
      if (++expected === 1) watch();
    },
    confirmed() {
      expected--;
      watch();
    },
    stop() {
      expected = 0;
      clearTimeout(timer);
    },
  };
}
