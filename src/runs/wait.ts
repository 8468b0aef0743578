/** Waits for the end of a run, also while the database is away. */
import { setTimeout as delay } from "node:timers/promises";
import { runNotFound } from "../errors.ts";
import type { LogReader } from "../logs/reader.ts";
import { isTransient } from "../postgres/failures.ts";
import { type FullRun, readRun } from "./read.ts";

/**
 * Waits until the run has ended or `closing` is aborted, for at most `timeoutMs`. All waiting callers share the queries
 * of the reader. Throws run_not_found.
 * @param options `isNew`: the run has just been created, so there is no point in looking before the first signal
 */
export async function waitForRun(
  reader: LogReader,
  id: string,
  timeoutMs: number,
  { closing, isNew }: { closing: AbortSignal; isNew: boolean },
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let changed = Promise.withResolvers<{ hasEnded: boolean }>();
  const unwatch = reader.watch(id, (hasEnded) => changed.resolve({ hasEnded }), { onlyEnd: true });
  try {
    for (let look = !isNew; ; look = true) {
      const left = deadline - performance.now();
      const progress = look ? await progressOf(reader, id, left <= 0) : { ended: false };
      if (progress === undefined) throw runNotFound(id);
      if (progress.ended || left <= 0 || closing.aborted) return;
      const timer = setTimeout(() => changed.resolve({ hasEnded: false }), left);
      const { hasEnded } = await changed.promise;
      clearTimeout(timer);
      // The signal was sent after the commit, and no run leaves its end.
      if (hasEnded) return;
      changed = Promise.withResolvers();
    }
  } finally {
    unwatch();
  }
}

/** The progress of a run. While the database is away, a run that may still be waited for has not ended. */
async function progressOf(
  reader: LogReader,
  id: string,
  isLast: boolean,
): Promise<{ ended: boolean } | undefined> {
  try {
    return await reader.progress(id);
  } catch (error) {
    if (isLast || !isTransient(error)) throw error;
    return { ended: false };
  }
}

/** Wait (ms) before a run is read again. */
const READ_AGAIN_MS = 500;

/** Like {@link readRun}, but tries again until `deadline`, in monotonic ms, while the database is away. */
export async function readRunBefore(
  deadline: number,
  ...[db, caller, id, logBytes]: Parameters<typeof readRun>
): Promise<FullRun> {
  for (;;) {
    try {
      return await readRun(db, caller, id, logBytes);
    } catch (error) {
      if (!isTransient(error) || performance.now() + READ_AGAIN_MS > deadline) throw error;
      await delay(READ_AGAIN_MS);
    }
  }
}
