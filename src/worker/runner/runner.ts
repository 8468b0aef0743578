/** The runner: a separate process that starts commands for a worker, and ends them when the worker is gone. */
import { closeSync, readdirSync, readFileSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { Socket } from "node:net";
import {
  type Credit,
  createFrameReader,
  decodePayload,
  encodeFrame,
  FRAME,
  type Frame,
  type FrameType,
  type Lease,
  type Ready,
  type SignalOrder,
  type StartOrder,
} from "./frames.ts";
import { NO_JOURNAL, openJournal } from "./journal.ts";
import { type CommandControl, runCommand } from "./run-command.ts";
import { createSweeper } from "./sweeper.ts";

/** The file descriptor on which the worker passes its socket. */
const SOCKET_FD = 3;
/** The flag in /proc/self/fdinfo of a file that children do not inherit. */
const CLOSE_ON_EXEC = 0o2000000;
/** Longest wait (ms) for the commands to die after the worker is gone; the journal lists those that remain. */
const FAREWELL_MS = 5_000;

// Signals to a whole session or control group are for the worker; the runner ends when its socket closes.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => undefined);

closeInheritedFiles(SOCKET_FD);
const socket = new Socket({ fd: SOCKET_FD });
const [journalFolder, ...worker] = process.argv.slice(2);
const [pid = 0, startTime = 0] = worker.map(Number);
const journal = journalFolder === undefined ? NO_JOURNAL : openJournal(journalFolder, { pid, startTime });
const sweeper = createSweeper();
const commands = new Map<number, CommandControl>();
const roots = new Set<number>();
let orphaned = false;

socket.on("data", createFrameReader(receive));
// `close` follows an error, and also the end of the worker.
socket.on("error", () => undefined);
socket.on("close", leave);
// Before `ready`, so that the next runner finds everything compiled.
flushCompileCache();
send(FRAME.ready, 0, { hasCompiler: hasCompiler() } satisfies Ready);

function receive(frame: Frame): void {
  const command = commands.get(frame.command);
  switch (frame.type) {
    case FRAME.start:
      start(frame.command, decodePayload<StartOrder>(frame));
      break;
    case FRAME.signal:
      command?.signal(decodePayload<SignalOrder>(frame).signal);
      break;
    case FRAME.credit:
      command?.grant(decodePayload<Credit>(frame).bytes);
      break;
    case FRAME.lease:
      command?.extend(decodePayload<Lease>(frame));
      break;
    case FRAME.ping:
      send(FRAME.pong, 0, {});
      break;
    case FRAME.ready:
    case FRAME.started:
    case FRAME.output:
    case FRAME.exited:
    case FRAME.pong:
      throw new Error(`frame ${frame.type} is not for the runner`);
  }
}

function start(number: number, order: StartOrder): void {
  const control = runCommand(number, order, {
    journal,
    sweeper,
    roots,
    onStarted: (started) => send(FRAME.started, number, started),
    onOutput: (chunk) => send(FRAME.output, number, chunk),
    onExited(exited) {
      commands.delete(number);
      send(FRAME.exited, number, exited);
      if (orphaned && commands.size === 0) exit();
    },
  });
  commands.set(number, control);
}

function send(type: FrameType, command: number, payload: Buffer | object): void {
  if (!orphaned) socket.write(encodeFrame(type, command, payload));
}

/** The worker has died or closed the socket: its commands must not continue. */
function leave(): void {
  orphaned = true;
  if (commands.size === 0) exit();
  for (const command of commands.values()) command.signal("SIGKILL");
  setTimeout(() => process.exit(1), FAREWELL_MS);
}

/** Whether Node has loaded its TypeScript compiler. It did if the compile cache lacked one of our files. */
function hasCompiler(): boolean {
  const { moduleLoadList = [] } = process as { moduleLoadList?: readonly string[] };
  return moduleLoadList.some((name) => name.includes("amaro"));
}

function exit(): never {
  journal.remove();
  process.exit(0);
}

/** Closes every file that children would inherit, except stdin, stdout, stderr and `ours`. Node marks its own files close-on-exec. */
function closeInheritedFiles(ours: number): void {
  if (process.platform !== "linux") return;
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd > 2 && fd !== ours && isInheritable(fd)) closeSync(fd);
  }
}

function isInheritable(fd: number): boolean {
  try {
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
    const flags = /^flags:\s+([0-7]+)$/m.exec(info)?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
  } catch {
    // The descriptor that read the folder is closed by now.
    return false;
  }
}
