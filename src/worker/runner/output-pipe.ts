/** Makes the real pipe that a command writes its stdout and stderr to, and reads it. */
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished } from "node:stream";

/** Both ends of a pipe, close-on-exec: a child has only the end that is given to it. */
export interface OutputPipe {
  readFd: number;
  /** Blocking, as commands expect their stdout to be. */
  writeFd: number;
}

/** Reads one pipe until it is closed. */
export interface OutputReader {
  /** Resolves when nobody holds the write end any more and all that was written has been read. */
  ended: Promise<void>;
  /** Waits for `ended`, but no longer than until the pipe is quiet, and at most 250 ms. */
  drain(): Promise<void>;
  /** Takes what is in the pipe at this moment and closes the read end. */
  close(): void;
  /** Reads on after `write` has said no. */
  resume(): void;
}

/** How many pipes one `mkfifo` makes: a spawn of its own for every pipe would double the cost of a command. */
export const PIPE_BATCH = 16;
const DRAIN_LIMIT_MS = 250;
const QUIET_MS = 100;
/** The largest pipe an ordinary user can make on Linux (fs.pipe-max-size). */
const LARGEST_PIPE_BYTES = 1_048_576;

const spare: OutputPipe[] = [];
// One for all readers: bytes are handed on before the next read.
const readBuffer = Buffer.allocUnsafeSlow(65_536);

/**
 * Takes a pipe; the caller closes both ends. Throws the error of `mkfifo` or `open` (no file
 * descriptors left, no room in the temporary directory).
 *
 * Node's own stdio pipes are sockets, which `/dev/stderr` cannot open, and Node has no call for a real
 * one. A FIFO opened at both ends and unlinked is one.
 */
export function takeOutputPipe(): OutputPipe {
  if (spare.length === 0) makeSpares();
  const pipe = spare.pop();
  if (pipe === undefined) throw new Error("mkfifo made no pipe");
  return pipe;
}

function makeSpares(): void {
  const folder = mkdtempSync(join(tmpdir(), "carillon-pipes-"));
  try {
    const paths = Array.from({ length: PIPE_BATCH }, (_, index) => join(folder, `${index}`));
    // A command of another account may open its own stderr again; nobody else finds the way to the pipe.
    execFileSync("mkfifo", ["-m", "622", ...paths], { stdio: ["ignore", "ignore", "pipe"] });
    for (const path of paths) spare.push(openBothEnds(path));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function openBothEnds(path: string): OutputPipe {
  // Opening the read end would otherwise wait for a writer.
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return { readFd, writeFd: openSync(path, constants.O_WRONLY) };
  } catch (error) {
    closeSync(readFd);
    throw error;
  }
}

/**
 * Reads `readFd` and owns it from now on. `write` gets every chunk in order, must copy what it keeps, and
 * says whether it wants more; `close` hands over what is left all the same.
 * Waits on the event loop's poll, never in the thread pool, so any number of silent commands is free.
 */
export function readOutput(readFd: number, write: (chunk: Buffer) => boolean): OutputReader {
  const ended = Promise.withResolvers<void>();
  let quietTimer: NodeJS.Timeout | undefined;

  function take(length: number): boolean {
    quietTimer?.refresh();
    return write(readBuffer.subarray(0, length));
  }

  const socket = new Socket({ fd: readFd, writable: false, onread: { buffer: readBuffer, callback: take } });
  // A failing read ends the output, not the command: its exit is still awaited and reported.
  finished(socket, () => ended.resolve());
  socket.resume();

  async function drain(): Promise<void> {
    const enough = Promise.withResolvers<void>();
    const limitTimer = setTimeout(enough.resolve, DRAIN_LIMIT_MS);
    quietTimer = setTimeout(enough.resolve, QUIET_MS);
    await Promise.race([ended.promise, enough.promise]);
    clearTimeout(limitTimer);
    clearTimeout(quietTimer);
    quietTimer = undefined;
  }

  function close(): void {
    // On a busy event loop the timers may run before the pipe was polled.
    if (!socket.destroyed) sweep(readFd, take);
    socket.destroy();
  }

  return { ended: ended.promise, drain, close, resume: () => void socket.resume() };
}

/** Reads what is in the pipe without waiting; bounded, since a surviving process may keep on writing. */
function sweep(readFd: number, take: (length: number) => void): void {
  let swept = 0;
  while (swept < LARGEST_PIPE_BYTES) {
    const length = readNow(readFd);
    if (length === 0) return;
    take(length);
    swept += length;
  }
}

/** Returns 0 at the end and when the pipe is empty. */
function readNow(readFd: number): number {
  try {
    return readSync(readFd, readBuffer);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return 0;
    throw error;
  }
}
