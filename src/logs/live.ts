/** Writes what commands print into the database while they run, all of them together and never faster than it takes it. */

import type { Database } from "../postgres/client.ts";
import { publishLog } from "../queue/signals.ts";
import { createRedactor, redactionPatterns } from "../text/redaction.ts";
import { type Capture, createCapture } from "./capture.ts";
import { type LiveWrite, writeLive } from "./pieces.ts";
import {
  afterFailure,
  finalOutput,
  type LiveOutput,
  type LiveStep,
  NOTHING_WRITTEN,
  nextWrite,
} from "./rules/live-output.ts";
import type { FinalOutput } from "./rules/output.ts";

/** From the beginning of one round of writes to the next, in ms. */
const ROUND_MS = 250;
/** The same while the database takes nothing. */
const FAILING_ROUND_MS = 1_000;
/** From the first new output to its write, in ms: short commands end sooner, and cost no write of their own. */
const FIRST_MS = 50;
/** Bytes of several attempts in one transaction. */
const MAX_BATCH_BYTES = 2 * 1_048_576;

/** The output of one attempt. */
export interface LiveLog {
  /** Copies what it keeps of `chunk`. Never waits. */
  write(chunk: Buffer): void;
  /** Writes nothing more; what is not stored yet is in the answer. */
  finish(): FinalOutput;
}

/** Whose output it is, and how it is kept. */
export interface LoggedAttempt {
  attemptId: string;
  /** Bytes that are kept of it. */
  logLimitBytes: number;
  /** Values that are taken out of it. */
  secrets: readonly string[];
}

export interface LiveLogs {
  open(attempt: LoggedAttempt): LiveLog;
  /** Resolves when the write under way is over. */
  close(): Promise<void>;
}

interface Entry {
  attemptId: string;
  limitBytes: number;
  capture: Capture;
  stored: LiveOutput;
  /** The write under way. */
  step: LiveStep | undefined;
}

/** @param onError told once when the database takes nothing, until it does again */
export function createLiveLogs(db: Database, onError: (error: Error) => void): LiveLogs {
  const changed = new Set<Entry>();
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<void> | undefined;
  let roundBegan = Number.NEGATIVE_INFINITY;
  let failing = false;
  let closed = false;

  function schedule(): void {
    if (timer !== undefined || round !== undefined || changed.size === 0 || closed) return;
    const roundMs = failing ? FAILING_ROUND_MS : ROUND_MS;
    const waitMs = Math.max(FIRST_MS, roundBegan + roundMs - performance.now());
    timer = setTimeout(() => {
      timer = undefined;
      roundBegan = performance.now();
      round = writeAll().finally(() => {
        round = undefined;
        schedule();
      });
    }, waitMs);
  }

  async function writeAll(): Promise<void> {
    const waiting = [...changed];
    while (waiting.length > 0) {
      const batch = takeBatch(waiting, changed);
      const written = await store(batch);
      for (const entry of batch) {
        if (entry.step === undefined) continue;
        if (written?.has(entry.attemptId)) entry.stored = entry.step.after;
        else entry.stored = afterFailure(entry.stored, entry.step);
        entry.step = undefined;
        // An attempt that did not take it has ended, or is being settled: its final output says it all.
        if (written === undefined) changed.add(entry);
      }
      if (written === undefined) return;
    }
  }

  /** Answers the attempts that took it; undefined when the database took nothing. */
  async function store(batch: readonly Entry[]): Promise<Set<string> | undefined> {
    try {
      const taken = await db.transaction(async (tx) => {
        const live = await writeLive(tx, batch.map(liveWrite));
        if (live.length > 0) await publishLog(tx, [...new Set(live.map(({ runId }) => runId))]);
        return live;
      });
      failing = false;
      return new Set(taken.map(({ attemptId }) => attemptId));
    } catch (error) {
      if (!failing) onError(error as Error);
      failing = true;
      return undefined;
    }
  }

  return {
    open({ attemptId, logLimitBytes: limitBytes, secrets }) {
      const redactor = createRedactor(redactionPatterns(secrets));
      const capture = createCapture(limitBytes);
      const entry: Entry = { attemptId, limitBytes, capture, stored: NOTHING_WRITTEN, step: undefined };
      return {
        write(chunk) {
          capture.write(redactor.write(chunk));
          changed.add(entry);
          schedule();
        },
        finish() {
          changed.delete(entry);
          // Not waited for: should it be done, the settlement replaces it.
          if (entry.step !== undefined) entry.stored = afterFailure(entry.stored, entry.step);
          entry.step = undefined;
          capture.write(redactor.end());
          return finalOutput(entry.stored, capture.total(), limitBytes, capture.read);
        },
      };
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await round;
    },
  };
}

/** Takes entries from both until their writes are large enough, and gives each its step. */
function takeBatch(waiting: Entry[], changed: Set<Entry>): Entry[] {
  const batch: Entry[] = [];
  for (let bytes = 0; bytes < MAX_BATCH_BYTES; ) {
    const entry = waiting.shift();
    if (entry === undefined) break;
    // It has ended meanwhile.
    if (!changed.delete(entry)) continue;
    entry.step = nextWrite(entry.stored, entry.capture.total(), entry.limitBytes);
    bytes += entry.step.spans.reduce((sum, { from, to }) => sum + to - from, 0);
    // What had no room comes with the next round.
    if (entry.step.after.seen < entry.capture.total()) changed.add(entry);
    batch.push(entry);
  }
  return batch;
}

function liveWrite({ attemptId, capture, step }: Entry): LiveWrite {
  return { attemptId, pieces: step?.spans.map(capture.read) ?? [], dropped: step?.dropped ?? [] };
}
