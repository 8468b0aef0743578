/** Reads output for many callers at once: equal reads share one query, and one timer wakes all followers. */

import type { Infra } from "../infra.ts";
import type { Signal } from "../queue/signals.ts";
import { headInBytes, textFromBytes } from "../text/cuts.ts";
import { type LogProgress, logProgress, readPieces } from "./pieces.ts";
import { type OutputPiece, omittedLine, shownStretches } from "./rules/output.ts";

/** Followers read the database this often, in ms, even without a signal. */
const POLL_MS = 1_000;
/** The most bytes of output in one read, and so in the memory of one follower. */
const READ_BYTES = 128 * 1_024;

/** Output as text; `position` is the offset behind it in the output of its attempt, in bytes. */
export interface LogText {
  text: string;
  position: number;
}

export interface LogReader {
  progress(runId: string): Promise<LogProgress | undefined>;
  /**
   * Reads output from a position on; the text is empty if there is none yet.
   * @param options `ended`: no output will follow, so an unfinished character at the end is shown as U+FFFD; `until`:
   *   the position to stop at, without the character that crosses it
   */
  text(
    attemptId: string,
    position: number,
    options: { ended: boolean; until?: number | undefined },
  ): Promise<LogText>;
  /**
   * Calls `wake` when the run may have changed, and every second, until the returned function is called. `hasEnded` is
   * true when a signal has told that the run has ended.
   * @param options `onlyEnd`: signals that the run has only moved on are left out
   */
  watch(runId: string, wake: (hasEnded: boolean) => void, options?: { onlyEnd: boolean }): () => void;
}

type Progress = Promise<LogProgress | undefined>;

/**
 * Creates the one reader of a process; its callers share queries.
 * @param options when `closing` is aborted, all watchers are woken
 */
export function createLogReader({ db, signals }: Infra, { closing }: { closing: AbortSignal }): LogReader {
  const watchers = new Map<(hasEnded: boolean) => void, { runId: string; onlyEnd: boolean }>();
  const progresses = new Map<string, Progress>();
  const texts = new Map<string, Promise<LogText>>();
  let unwatch: (() => void) | undefined;

  /** Later reads must not share queries that have already been sent. */
  function wake(concerns: (runId: string, onlyEnd: boolean) => boolean, hasEnded = false): void {
    progresses.clear();
    texts.clear();
    for (const [one, { runId, onlyEnd }] of watchers) if (concerns(runId, onlyEnd)) one(hasEnded);
  }

  function watchDatabase(): () => void {
    const poll = setInterval(() => wake(() => true), POLL_MS);
    const unsubscribe = signals.subscribe((signal) => {
      const runs = runsOf(signal);
      if (runs === undefined) return;
      const hasEnded = signal.type === "run_changed" && signal.ended === true;
      const mayHaveEnded = hasEnded || signal.type === "missed";
      wake(
        (runId, onlyEnd) => (mayHaveEnded || !onlyEnd) && (runs === "any" || runs.includes(runId)),
        hasEnded,
      );
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
    progress: (runId) => shared(progresses, runId, () => db.sqlRead((tx) => logProgress(tx, runId))),
    text: (attemptId, position, { ended, until = Number.POSITIVE_INFINITY }) =>
      shared(texts, `${attemptId} ${position} ${ended} ${until}`, async () => {
        const { pieces, more } = await readPieces(db.prisma, attemptId, position, READ_BYTES);
        const wanted = piecesUntil(pieces, until);
        const isEnd =
          wanted.length === pieces.length && wanted.at(-1)?.bytes.length === pieces.at(-1)?.bytes.length;
        return render(wanted, position, ended && !more && isEnd);
      }),
    watch(runId, onChange, { onlyEnd } = { onlyEnd: false }) {
      watchers.set(onChange, { runId, onlyEnd });
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

/** Returns the runs that a signal is about; undefined if it is about none. */
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

function piecesUntil(pieces: readonly OutputPiece[], until: number): OutputPiece[] {
  return pieces
    .filter(({ position }) => position < until)
    .map(({ position, bytes }) => ({ position, bytes: bytes.subarray(0, until - position) }));
}

function render(pieces: readonly OutputPiece[], from: number, ended: boolean): LogText {
  let text = "";
  let position = from;
  const all = shownStretches(pieces, from);
  for (const [index, { gap, bytes }] of all.entries()) {
    const isLast = index === all.length - 1;
    const shown = isLast && !ended ? headInBytes(bytes) : bytes;
    // There is only an unfinished character: the line about the gap comes with the rest of it.
    if (shown.length === 0 && !ended) break;
    text += (gap > 0 ? omittedLine(gap) : "") + textFromBytes(shown);
    position += gap + shown.length;
  }
  return { text, position };
}
