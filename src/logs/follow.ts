/** Reads the output of a run, from any place in it, as far as it has come or until the run has ended. */
import { CarillonError, runNotFound } from "../errors.ts";
import { isDatabaseAway } from "../postgres/failures.ts";
import type { RunState } from "../postgres/generated/enums.ts";
import type { LogProgress } from "./pieces.ts";
import type { LogReader } from "./reader.ts";

/** A place in the output of a run. */
export interface LogPlace {
  /** Which of its attempts, in the order in which they began; those that were handed back count too. */
  ordinal: number;
  /** Bytes of that attempt's output before it. */
  position: number;
}

/** Which part of a run's output to read. */
export interface LogPart {
  from: LogPlace;
  /** The last attempt to read; unset: also those that are yet to come. */
  last: number | undefined;
}

export type LogStep =
  /** `attempt` is its number, and `at` the place after the text. */
  | { kind: "output"; attempt: number; at: LogPlace; text: string }
  /** Nothing new for a second or so. */
  | { kind: "idle" }
  | { kind: "end"; state: RunState; status: number | null };

/** The part that a number, `all`, or neither (the latest attempt, and later ones) means. Throws run_not_found, attempt_not_found. */
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
  throw new CarillonError("attempt_not_found", `run ${runId} has no attempt ${attempt}; the first is 0`);
}

/**
 * Reads a part as it is now. The beginning of a character at the end of what a running attempt has printed is left for
 * later. The last step is `end`, unless retention has taken the run.
 */
export async function* readLog(reader: LogReader, runId: string, part: LogPart): AsyncGenerator<LogStep> {
  const progress = await reader.progress(runId);
  if (progress === undefined) return;
  yield* readOn(reader, progress, { ...part.from }, part.last);
  yield { kind: "end", state: progress.state, status: progress.status };
}

/**
 * Reads a part until the run has ended, or its last attempt has. A database that is away is waited for.
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
        yield* readOn(reader, progress, at, part.last);
        if (hasEnded(progress, part.last)) {
          yield { kind: "end", state: progress.state, status: progress.status };
          return;
        }
      } catch (error) {
        if (!isDatabaseAway(error)) throw error;
      }
      await changed.promise;
      changed = Promise.withResolvers();
      yield { kind: "idle" };
    }
  } finally {
    unwatch();
  }
}

/** Reads to the end of what there is, and moves `at` along with what it hands on. */
async function* readOn(
  reader: LogReader,
  { attempts }: LogProgress,
  at: LogPlace,
  last = attempts.length - 1,
): AsyncGenerator<LogStep, void> {
  for (let attempt = attempts[at.ordinal]; attempt !== undefined; attempt = attempts[at.ordinal]) {
    // As it was before the read: what it printed at the very last is not missed.
    const ended = attempt.state !== "running";
    for (;;) {
      const { text, position } = await reader.text(attempt.id, at.position, ended);
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
