/** Decides which part of an output is written next while its command runs: in order, and bounded. */
import {
  type FinalOutput,
  headBytesOf,
  inPieces,
  keptSpans,
  missingSpans,
  type OutputPiece,
  type Span,
} from "./output.ts";

/** The most that one write stores of one attempt. */
export const MAX_WRITE_BYTES = 512 * 1024;
/** A last piece below this size is written again together with what follows it: else each line would be a row. */
const SMALL_PIECE_BYTES = 8 * 1024;

/** What is stored of an output. */
export interface LiveOutput {
  /** The stored pieces, in order. */
  written: readonly Span[];
  /** Everything before this position has been written or left out. */
  seen: number;
}

export const NOTHING_WRITTEN: LiveOutput = { written: [], seen: 0 };

/** A write, and what is stored once it has succeeded. A write that failed is repeated as it is. */
export interface LiveStep {
  spans: readonly Span[];
  /** Positions of stored pieces that no longer belong to the end that is kept. */
  dropped: readonly number[];
  after: LiveOutput;
}

/**
 * The next write of an output that has grown to `totalBytes`: first the head without a gap, then the end; of the end
 * only the newest part if more has come than fits. A reader that goes on from a position misses nothing behind it.
 */
export function nextWrite(live: LiveOutput, totalBytes: number, limitBytes: number): LiveStep {
  const headBytes = headBytesOf(limitBytes);
  const endStart = Math.max(headBytes, totalBytes - (limitBytes - headBytes));
  const spans: Span[] = [];
  let { seen } = live;
  if (seen < Math.min(totalBytes, headBytes)) {
    const to = Math.min(totalBytes, headBytes, seen + MAX_WRITE_BYTES);
    spans.push(...inPieces(grown(live, { from: seen, to }, headBytes, endStart)));
    seen = to;
  }
  // In the write that ends the head there may be no room left: the end comes with the next one.
  const room = MAX_WRITE_BYTES - spans.reduce((sum, { from, to }) => sum + to - from, 0);
  if (seen >= headBytes && seen < totalBytes && (spans.length === 0 || totalBytes - seen <= room)) {
    const from = Math.max(seen, endStart, totalBytes - room);
    spans.push(...inPieces(grown(live, { from, to: totalBytes }, headBytes, endStart)));
    seen = totalBytes;
  }
  const gone = live.written.filter(({ from, to }) => from >= headBytes && to <= endStart);
  const starts = new Set(spans.map(({ from }) => from));
  const stay = live.written.filter((span) => !starts.has(span.from) && !gone.includes(span));
  return { spans, dropped: gone.map(({ from }) => from), after: { written: [...stay, ...spans], seen } };
}

function grown({ written }: LiveOutput, span: Span, headBytes: number, endStart: number): Span {
  const last = written.at(-1);
  if (last === undefined || last.to !== span.from || span.to - last.from > SMALL_PIECE_BYTES) return span;
  // A piece belongs to the head or to the end, and what has left the end is no longer in memory.
  const joins = span.from < headBytes || last.from >= endStart;
  return joins ? { from: last.from, to: span.to } : span;
}

/**
 * The final output of a command that has ended, given a way to read what is kept of it.
 *
 * @param unsure a write of which nobody knows whether it was done; the pieces that it replaces are stored again
 */
export function finalOutput(
  live: LiveOutput,
  unsure: LiveStep | undefined,
  totalBytes: number,
  limitBytes: number,
  read: (span: Span) => OutputPiece,
): FinalOutput {
  const kept = keptSpans(totalBytes, limitBytes);
  const pieces = kept.map(read);
  const replaced = new Set(unsure?.spans.map(({ from }) => from));
  const stay = live.written.filter(
    (span) => !replaced.has(span.from) && kept.some(({ from, to }) => from <= span.from && span.to <= to),
  );
  const missing = missingSpans(kept, stay)
    .flatMap(inPieces)
    .flatMap(({ from, to }) =>
      pieces
        .filter(({ position, bytes }) => position <= from && to <= position + bytes.length)
        .map(({ position, bytes }) => ({
          position: from,
          bytes: bytes.subarray(from - position, to - position),
        })),
    );
  return { pieces, stored: stay.map(({ from }) => from), missing };
}
