/** Makes the one real pipe for a command's stdout and stderr, and reads it. */
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmdirSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished } from "node:stream";

/** Both ends of a pipe. They are close-on-exec: a child gets only the end passed to it. */
export interface OutputPipe {
  readFd: number;
  /** Blocking, because commands expect that of stdout. */
  writeFd: number;
}

/** Reads one pipe to its end. */
export interface OutputReader {
  /** Resolves when every write end is closed and all data has been read. */
  ended: Promise<void>;
  /** Waits for `ended`, but only until the pipe has been quiet for 100 ms, and at most 250 ms. */
  drain(): Promise<void>;
  /** Reads what is in the pipe now and closes the read end. */
  close(): void;
  /** Continues reading after `write` returned false. */
  resume(): void;
}

/** Pipes made by one `mkfifo`: one spawn per pipe would double the cost of a command. */
export const PIPE_BATCH = 32;
const DRAIN_LIMIT_MS = 250;
const QUIET_MS = 100;
/** The largest pipe an ordinary user can make on Linux (fs.pipe-max-size). */
const LARGEST_PIPE_BYTES = 1_048_576;

const spare: OutputPipe[] = [];
// All readers share it: bytes are passed on before the next read.
const readBuffer = Buffer.allocUnsafeSlow(65_536);

/**
 * Returns a pipe; the caller closes both ends.
 * Node's own stdio pipes are sockets, which a command cannot open as `/dev/stderr`, and Node cannot create a real
 * pipe. A FIFO that is opened at both ends and unlinked is one.
 * @throws the error of `mkfifo` or `open`, such as no file descriptors or no space in the temporary directory
 */
export function takeOutputPipe(): OutputPipe {
  if (spare.length === 0) makeSpares();
  const pipe = spare.pop();
  if (pipe === undefined) throw new Error("mkfifo made no pipe");
  return pipe;
}

function makeSpares(): void {
  const folder = mkdtempSync(join(tmpdir(), "carillon-pipes-"));
  const paths = Array.from({ length: PIPE_BATCH }, (_, index) => join(folder, `${index}`));
  try {
    // A command of another account may reopen its own stderr; nobody else can reach the unlinked pipe.
    execFileSync("mkfifo", ["-m", "622", ...paths], { stdio: ["ignore", "ignore", "pipe"] });
    for (const path of paths) {
      try {
        spare.push(openBothEnds(path));
      } catch (error) {
        // The limit of open files: what has been made is enough for the next commands.
        if (spare.length === 0) throw error;
        break;
      }
    }
  } finally {
    // Not `recursive`: that opens the folder, for which there may be no file descriptor.
    for (const path of paths) rmSync(path, { force: true });
    rmdirSync(folder);
  }
}

function openBothEnds(path: string): OutputPipe {
  // Without O_NONBLOCK this would wait for a writer.
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return { readFd, writeFd: openSync(path, constants.O_WRONLY) };
  } catch (error) {
    closeSync(readFd);
    throw error;
  }
}

/**
 * Reads `readFd` and takes ownership of it. `write` gets every chunk in order, must copy what it keeps, and returns
 * whether it wants more; `close` delivers the rest in any case.
 * It waits in the event loop's poll, never in the thread pool, so any number of silent commands costs nothing.
 */
export function readOutput(readFd: number, write: (chunk: Buffer) => boolean): OutputReader {
  const ended = Promise.withResolvers<void>();
  let quietTimer: NodeJS.Timeout | undefined;

  function take(length: number): boolean {
    quietTimer?.refresh();
    return write(readBuffer.subarray(0, length));
  }

  const socket = new Socket({ fd: readFd, writable: false, onread: { buffer: readBuffer, callback: take } });
  // A failed read ends the output but not the command, whose exit is still reported.
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
    // On a busy event loop the timers may fire before the pipe was polled.
    if (!socket.destroyed) readRest(readFd, take);
    socket.destroy();
  }

  return { ended: ended.promise, drain, close, resume: () => void socket.resume() };
}

/** Reads what is in the pipe without waiting. Bounded, because a surviving process may keep writing. */
function readRest(readFd: number, take: (length: number) => void): void {
  let total = 0;
  while (total < LARGEST_PIPE_BYTES) {
    const length = readNow(readFd);
    if (length === 0) return;
    take(length);
    total += length;
  }
}

/** Returns 0 at the end of the data and when the pipe is empty. */
function readNow(readFd: number): number {
  try {
    return readSync(readFd, readBuffer);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return 0;
    throw error;
  }
}
