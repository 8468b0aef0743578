/** Stores the output of running commands in the database, all of them together and no faster than it accepts writes. */

import type { Database } from "../postgres/client.ts";
import { publishLog } from "../queue/signals.ts";
import { createRedactor, redactionPatterns } from "../text/redaction.ts";
import { type Capture, createCapture } from "./capture.ts";
import { type LiveWrite, writeLive } from "./pieces.ts";
import {
  finalOutput,
  type LiveOutput,
  type LiveStep,
  NOTHING_WRITTEN,
  nextWrite,
} from "./rules/live-output.ts";
import type { FinalOutput } from "./rules/output.ts";

/** Time from the start of one round of writes to the start of the next, in ms. */
const ROUND_MS = 250;
/** The same while writes fail. */
const FAILING_ROUND_MS = 1_000;
/** Delay of the first write after new output, in ms: a shorter command ends before it and costs no live write. */
const FIRST_MS = 50;
/** The most that one transaction writes, of all attempts together. */
const MAX_BATCH_BYTES = 2 * 1_048_576;

/** The output of one attempt. */
export interface LiveLog {
  /** Copies what it keeps of `chunk`, so the caller may reuse it. Never waits. */
  write(chunk: Buffer): void;
  /** Stops live writes. The result has what is not stored yet. */
  finish(): FinalOutput;
}

/** An attempt, and how its output is kept. */
export interface LoggedAttempt {
  attemptId: string;
  /** Size of the output that is kept, in bytes. */
  logLimitBytes: number;
  /** Values to remove from it. */
  secrets: readonly string[];
}

export interface LiveLogs {
  open(attempt: LoggedAttempt): LiveLog;
  /** Stops all live writes. Resolves when the one under way is over. */
  close(): Promise<void>;
}

interface Entry {
  attemptId: string;
  limitBytes: number;
  capture: Capture;
  stored: LiveOutput;
  /** The write under way; it stays until it is known to be done. */
  pending: { step: LiveStep; write: LiveWrite } | undefined;
}

/** @param onError called for the first of several writes in a row that fail */
export function createLiveLogs(db: Database, onError: (error: Error) => void): LiveLogs {
  const changed = new Set<Entry>();
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<void> | undefined;
  let roundBegan = Number.NEGATIVE_INFINITY;
  let failing = false;
  let closed = false;
  // A batch whose write failed. The database may have done it all the same, so exactly this batch is written again:
  // the same bytes at the same positions do no harm.
  let unsure: Entry[] | undefined;

  function schedule(): void {
    if (timer !== undefined || round !== undefined || closed) return;
    if (changed.size === 0 && unsure === undefined) return;
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
    while (unsure !== undefined || waiting.length > 0) {
      const batch: Entry[] = unsure ?? takeBatch(waiting, changed);
      unsure = batch;
      const stored = await store(batch.flatMap(({ pending }) => pending?.write ?? []));
      if (stored === undefined) return;
      unsure = undefined;
      for (const entry of batch) {
        // An attempt that is not among them has ended or is being settled: its final output replaces the live one.
        if (entry.pending && stored.has(entry.attemptId)) entry.stored = entry.pending.step.after;
        entry.pending = undefined;
      }
    }
  }

  /** Returns the attempts whose output was stored; undefined if the transaction failed. */
  async function store(writes: readonly LiveWrite[]): Promise<Set<string> | undefined> {
    if (writes.length === 0) return new Set();
    try {
      const stored = await writeAndSignal(db, writes);
      failing = false;
      return stored;
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
      const entry: Entry = { attemptId, limitBytes, capture, stored: NOTHING_WRITTEN, pending: undefined };
      return {
        write(chunk) {
          capture.write(redactor.write(chunk));
          changed.add(entry);
          schedule();
        },
        finish() {
          changed.delete(entry);
          capture.write(redactor.end());
          // A write under way is not waited for: the settlement replaces what it may store.
          const unsureStep = entry.pending?.step;
          entry.pending = undefined;
          return finalOutput(entry.stored, unsureStep, capture.total(), limitBytes, capture.read);
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

/** Moves entries from both collections into a batch of limited size, and gives each its next write. */
function takeBatch(waiting: Entry[], changed: Set<Entry>): Entry[] {
  const batch: Entry[] = [];
  for (let bytes = 0; bytes < MAX_BATCH_BYTES; ) {
    const entry = waiting.shift();
    if (entry === undefined) break;
    // The command has ended since the round began.
    if (!changed.delete(entry)) continue;
    const { attemptId, capture } = entry;
    const step = nextWrite(entry.stored, capture.total(), entry.limitBytes);
    const pieces = step.spans.map(capture.read);
    entry.pending = { step, write: { attemptId, pieces, dropped: step.dropped } };
    bytes += pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
    // The rest comes with the next round.
    if (step.after.seen < capture.total()) changed.add(entry);
    batch.push(entry);
  }
  return batch;
}

async function writeAndSignal(db: Database, writes: readonly LiveWrite[]): Promise<Set<string>> {
  const live = await db.transaction(async (tx) => {
    const taken = await writeLive(tx, writes);
    if (taken.length > 0) publishLog(tx, [...new Set(taken.map(({ runId }) => runId))]);
    return taken;
  });
  return new Set(live.map(({ attemptId }) => attemptId));
}
