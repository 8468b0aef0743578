/** Reads the output of a run from any place in it: what there is now, or until the run ends. */
import { CarillonError, runNotFound } from "../errors.ts";
import { isTransient } from "../postgres/failures.ts";
import type { RunState } from "../postgres/generated/enums.ts";
import type { LogProgress } from "./pieces.ts";
import type { LogReader } from "./reader.ts";

/** A place in the output of a run. */
export interface LogPlace {
  /** Index of the attempt in the order in which they started; attempts that were handed back count too. */
  ordinal: number;
  /** Offset in that attempt's output, in bytes. */
  position: number;
}

/** Which part of a run's output to read. */
export interface LogPart {
  from: LogPlace;
  /** Index of the last attempt to read; unset: later attempts are read too. */
  last: number | undefined;
  /** Where to stop reading, in the last attempt; unset: at the end of what there is. */
  end?: LogPlace;
}

export type LogStep =
  /** `attempt` is the number of the attempt, and `at` the place after the text. */
  | { kind: "output"; attempt: number; at: LogPlace; text: string }
  /** There was nothing new for about a second. */
  | { kind: "idle" }
  | { kind: "end"; state: RunState; status: number | null };

/**
 * Returns the part to read: one attempt by its number, `all`, or, if unset, the latest attempt and those that follow.
 * Throws run_not_found, attempt_not_found.
 */
export async function logPart(
  reader: LogReader,
  runId: string,
  attempt: number | "all" | undefined,
): Promise<LogPart> {
  const progress = await reader.progress(runId);
  if (progress === undefined) throw runNotFound(runId);
  const start = (ordinal: number): LogPlace => ({ ordinal, position: 0 });
  if (attempt === "all") return { from: start(0), last: undefined };
  if (attempt === undefined) {
    return { from: start(Math.max(0, progress.attempts.length - 1)), last: undefined };
  }
  const ordinal = progress.attempts.findLastIndex(({ number }) => number === attempt);
  if (ordinal >= 0) return { from: start(ordinal), last: ordinal };
  throw new CarillonError("attempt_not_found", `The run ${runId} has no attempt ${attempt}; the first is 0.`);
}

/**
 * Reads a part as it is now. While an attempt runs, an unfinished character at the end of its output is left out. The
 * last step is `end`, unless retention has removed the run.
 */
export async function* readLog(reader: LogReader, runId: string, part: LogPart): AsyncGenerator<LogStep> {
  const progress = await reader.progress(runId);
  if (progress === undefined) return;
  yield* readOn(reader, progress, { ...part.from }, part);
  yield { kind: "end", state: progress.state, status: progress.status };
}

/**
 * Reads a part until the run or the last attempt of the part ends. While the database is unavailable it waits.
 * Ends without `end` when `closing` is aborted or retention has deleted the run.
 */
export async function* followLog(
  reader: LogReader,
  runId: string,
  part: LogPart,
  { closing }: { closing: AbortSignal },
): AsyncGenerator<LogStep> {
  const at = { ...part.from };
  let changed = Promise.withResolvers<void>();
  const unwatch = reader.watch(runId, () => changed.resolve());
  try {
    while (!closing.aborted) {
      try {
        const progress = await reader.progress(runId);
        if (progress === undefined) return;
        yield* readOn(reader, progress, at, part);
        if (hasEnded(progress, part.last)) {
          yield { kind: "end", state: progress.state, status: progress.status };
          return;
        }
      } catch (error) {
        if (!isTransient(error)) throw error;
      }
      await changed.promise;
      changed = Promise.withResolvers();
      yield { kind: "idle" };
    }
  } finally {
    unwatch();
  }
}

/** Reads to the end of what there is, and moves `at` with each step that it yields. */
async function* readOn(
  reader: LogReader,
  { attempts }: LogProgress,
  at: LogPlace,
  { end, last = end?.ordinal ?? attempts.length - 1 }: LogPart,
): AsyncGenerator<LogStep, void> {
  for (let attempt = attempts[at.ordinal]; attempt !== undefined; attempt = attempts[at.ordinal]) {
    // This state is older than the read, so the last output of an attempt that has ended is not missed.
    const ended = attempt.state !== "running";
    const until = at.ordinal === end?.ordinal ? end.position : undefined;
    for (;;) {
      const { text, position } = await reader.text(attempt.id, at.position, { ended, until });
      if (text === "") break;
      at.position = position;
      yield { kind: "output", attempt: attempt.number, at: { ...at }, text };
    }
    if (!ended || at.ordinal >= last) return;
    at.ordinal += 1;
    at.position = 0;
  }
}

function hasEnded({ ended, attempts }: LogProgress, last: number | undefined): boolean {
  if (ended) return true;
  const attempt = last === undefined ? undefined : attempts[last];
  return attempt !== undefined && attempt.state !== "running";
}
