/** The journal of a runner: a file that lists its running commands, so that their processes can be found if it is killed. */

import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type PidSpace, type ProcessId, pidSpace, readProcess } from "./processes.ts";

export interface Journal {
  /** Written before the spawn, so that the marker is known even if the runner dies before it learns the pid. */
  starting(command: number, marker: readonly string[]): void;
  started(command: number, root: ProcessId): void;
  ended(command: number): void;
  /** Closes and deletes the file. */
  remove(): void;
}

/** A command in a journal that has not ended. */
export interface JournalEntry {
  marker: readonly string[];
  root?: ProcessId;
}

export interface JournalHead {
  /** The runner, or the process around it when it has its own PID namespace. */
  owner: ProcessId;
  /** The worker that the runner belongs to. */
  worker: ProcessId;
  space: PidSpace;
}

export interface JournalContent extends JournalHead {
  running: JournalEntry[];
}

type Line =
  | JournalHead
  | { starting: number; marker: readonly string[] }
  | { started: number; root: ProcessId }
  | { ended: number };

/** The file is rewritten when it has more lines, because most of them are about ended commands. */
const MAX_LINES = 2_000;

/**
 * Opens the journal of `ownerPid` (default: this process) in `folder`. Without /proc or such a process it does nothing.
 * Later write errors, such as a full disk, go to stderr and stop no command.
 * @throws when the file cannot be created
 */
export function openJournal(folder: string, worker: ProcessId, ownerPid = process.pid): Journal {
  const space = pidSpace();
  const owner = readProcess(ownerPid);
  if (space === undefined || owner === undefined) return NO_JOURNAL;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${owner.pid}-${owner.startTime}.journal`);
  const head = line({ owner: { pid: owner.pid, startTime: owner.startTime }, worker, space });
  const running = new Map<number, string>();
  let fd = openSync(path, "a", 0o600);
  let lines = 0;
  let isFailing = false;
  tryTo(() => writeSync(fd, head));

  function tryTo(write: () => void): void {
    try {
      write();
      isFailing = false;
    } catch (error) {
      if (!isFailing) complain(`the journal cannot be written: ${error}`);
      isFailing = true;
    }
  }

  function append(text: string): void {
    tryTo(() => {
      writeSync(fd, text);
      if (++lines > MAX_LINES + 4 * running.size) rewrite();
    });
  }

  /** Replaces the file in one step: a reader finds either the old or the new one. */
  function rewrite(): void {
    const fresh = openSync(`${path}.new`, "w", 0o600);
    writeSync(fresh, head + [...running.values()].join(""));
    closeSync(fresh);
    renameSync(`${path}.new`, path);
    closeSync(fd);
    fd = openSync(path, "a");
    lines = 0;
  }

  return {
    starting(command, marker) {
      running.set(command, line({ starting: command, marker }));
      append(line({ starting: command, marker }));
    },
    started(command, root) {
      const text = line({ started: command, root });
      running.set(command, `${running.get(command)}${text}`);
      append(text);
    },
    ended(command) {
      running.delete(command);
      if (running.size > 0) return append(line({ ended: command }));
      lines = 0;
      tryTo(() => ftruncateSync(fd, head.length));
    },
    remove() {
      closeSync(fd);
      rmSync(path, { force: true });
    },
  };
}

/** A journal that does nothing. */
export const NO_JOURNAL: Journal = {
  starting: () => undefined,
  started: () => undefined,
  ended: () => undefined,
  remove: () => undefined,
};

/**
 * Reads a journal; undefined when it is gone or its first line is unknown. Truncated lines are skipped.
 * @throws when the file cannot be read
 */
export function readJournal(path: string): JournalContent | undefined {
  const [head, ...rest] = readLines(path);
  if (head === undefined || !("worker" in head)) return undefined;
  const running = new Map<number, JournalEntry>();
  for (const entry of rest) {
    if ("starting" in entry) running.set(entry.starting, { marker: entry.marker });
    else if ("started" in entry) {
      running.set(entry.started, { marker: [], ...running.get(entry.started), root: entry.root });
    } else if ("ended" in entry) running.delete(entry.ended);
  }
  return { ...head, running: [...running.values()] };
}

function readLines(path: string): Line[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    // Another worker has already handled it.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
  return text.split("\n").flatMap((json) => {
    try {
      return [JSON.parse(json) as Line];
    } catch {
      // The runner was killed while writing it, or the disk was full.
      return [];
    }
  });
}

/** Writes to stderr, which the worker logs. */
function complain(message: string): void {
  try {
    writeSync(2, `${message}\n`);
  } catch {
    // The worker is gone.
  }
}

function line(content: Line): string {
  return `${JSON.stringify(content)}\n`;
}
