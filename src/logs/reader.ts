/** Reads output for many at once: equal reads are one query, and one timer wakes all who follow. */

import type { Infra } from "../infra.ts";
import type { Signal } from "../queue/signals.ts";
import { headInBytes, textFromBytes } from "../text/cuts.ts";
import { type LogProgress, logProgress, readPieces } from "./pieces.ts";
import { omittedLine, stretches } from "./rules/output.ts";

/** Followers look at the truth this often, whatever the signals say. */
const POLL_MS = 1_000;
/** Bytes of output in one read, and in the memory of one follower. */
const READ_BYTES = 128 * 1_024;

/** Output as text, up to a position in the output of its attempt. */
export interface LogText {
  text: string;
  position: number;
}

export interface LogReader {
  progress(runId: string): Promise<LogProgress | undefined>;
  /**
   * What there is from a position on; no text: nothing yet.
   * @param ended nothing will follow, so that a character that is cut off is shown as it is
   */
  text(attemptId: string, position: number, ended: boolean): Promise<LogText>;
  /** Calls `wake` whenever the run may have changed, and every second, until the returned function is called. */
  watch(runId: string, wake: () => void): () => void;
}

type Progress = Promise<LogProgress | undefined>;

/**
 * One for the process: what it shares is shared among its callers.
 * @param options once `closing` is aborted, nobody is made to wait
 */
export function createLogReader({ db, signals }: Infra, { closing }: { closing: AbortSignal }): LogReader {
  const watchers = new Map<() => void, string>();
  const progresses = new Map<string, Progress>();
  const texts = new Map<string, Promise<LogText>>();
  let unwatch: (() => void) | undefined;

  /** What is asked from now on is newer than what is on its way. */
  function wake(concerns: (runId: string) => boolean): void {
    progresses.clear();
    texts.clear();
    for (const [one, runId] of watchers) if (concerns(runId)) one();
  }

  function watchDatabase(): () => void {
    const poll = setInterval(() => wake(() => true), POLL_MS);
    const unsubscribe = signals.subscribe((signal) => {
      const runs = runsOf(signal);
      if (runs !== undefined) wake((runId) => runs === "any" || runs.includes(runId));
    });
    const onClosing = () => wake(() => true);
    closing.addEventListener("abort", onClosing);
    return () => {
      clearInterval(poll);
      unsubscribe();
      closing.removeEventListener("abort", onClosing);
    };
  }

  return {
    progress: (runId) => shared(progresses, runId, () => logProgress(db.prisma, runId)),
    text: (attemptId, position, ended) =>
      shared(texts, `${attemptId} ${position} ${ended}`, async () => {
        const { pieces, more } = await readPieces(db.prisma, attemptId, position, READ_BYTES);
        return render(pieces, position, ended && !more);
      }),
    watch(runId, onChange) {
      watchers.set(onChange, runId);
      unwatch ??= watchDatabase();
      return () => {
        watchers.delete(onChange);
        if (watchers.size > 0) return;
        unwatch?.();
        unwatch = undefined;
      };
    },
  };
}

function shared<T>(under: Map<string, Promise<T>>, key: string, ask: () => Promise<T>): Promise<T> {
  const known = under.get(key);
  if (known !== undefined) return known;
  const asked = ask().finally(() => {
    if (under.get(key) === asked) under.delete(key);
  });
  under.set(key, asked);
  return asked;
}

/** The runs that a signal speaks of; undefined: of none. */
function runsOf(signal: Signal): readonly string[] | "any" | undefined {
  switch (signal.type) {
    case "log":
      return signal.runs ?? "any";
    case "run_changed":
      return [signal.run];
    case "missed":
      return "any";
    case "queue":
    case "cancel":
      return undefined;
  }
}

function render(pieces: Parameters<typeof stretches>[0], from: number, ended: boolean): LogText {
  let text = "";
  let position = from;
  const all = stretches(pieces, from);
  for (const [index, { gap, bytes }] of all.entries()) {
    const isLast = index === all.length - 1;
    const shown = isLast && !ended ? headInBytes(bytes) : bytes;
    // Nothing but the beginning of a character: the line comes with the rest of it.
    if (shown.length === 0) break;
    text += (gap > 0 ? omittedLine(gap) : "") + textFromBytes(shown);
    position += gap + shown.length;
  }
  return { text, position };
}
