/** Decides what of an output is written next while its command runs: in order, bounded, and never twice over. */
import {
  type FinalOutput,
  headBytesOf,
  inPieces,
  keptSpans,
  missingSpans,
  type OutputPiece,
  type Span,
} from "./output.ts";

/** So much of one attempt is written at a time, at most. */
export const MAX_WRITE_BYTES = 512 * 1024;
/** The last piece is written again, with what follows it, up to this size: else each line would be a row. */
const SMALL_PIECE_BYTES = 8 * 1024;

/** What is stored of an output. */
export interface LiveOutput {
  /** Pieces that are surely stored, in order. */
  written: readonly Span[];
  /** What comes before has been written or left out. */
  seen: number;
  /** Positions where a write that failed may have left something. */
  doubtful: readonly number[];
}

export const NOTHING_WRITTEN: LiveOutput = { written: [], seen: 0, doubtful: [] };

/** A write, and what is stored when it succeeds. */
export interface LiveStep {
  spans: readonly Span[];
  /** Positions of stored pieces that have left the end that is kept. */
  dropped: readonly number[];
  after: LiveOutput;
}

/**
 * The next write of an output that has grown to `totalBytes`: the head without a gap; then the end, of which the
 * newest part alone when too much has come. So whoever reads on from a position never misses what comes later.
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
  const dropped = [...gone.map(({ from }) => from), ...live.doubtful.filter((from) => !starts.has(from))];
  return { spans, dropped, after: { written: [...stay, ...spans], seen, doubtful: [] } };
}

function grown({ written }: LiveOutput, span: Span, headBytes: number, endStart: number): Span {
  const last = written.at(-1);
  if (last === undefined || last.to !== span.from || span.to - last.from > SMALL_PIECE_BYTES) return span;
  // A piece is of the head or of the end, and what has left the end is not there any more.
  const joins = span.from < headBytes || last.from >= endStart;
  return joins ? { from: last.from, to: span.to } : span;
}

/** What is sure when nobody knows whether a write was done. */
export function afterFailure(live: LiveOutput, { spans }: LiveStep): LiveOutput {
  const starts = spans.map(({ from }) => from);
  return {
    written: live.written.filter(({ from }) => !starts.includes(from)),
    seen: Math.min(live.seen, ...starts),
    doubtful: [...new Set([...live.doubtful, ...starts])],
  };
}

/** The final output of a command that has ended, given a way to read what is kept of it. */
export function finalOutput(
  live: LiveOutput,
  totalBytes: number,
  limitBytes: number,
  read: (span: Span) => OutputPiece,
): FinalOutput {
  const kept = keptSpans(totalBytes, limitBytes);
  const pieces = kept.map(read);
  const stay = live.written.filter((span) => kept.some(({ from, to }) => from <= span.from && span.to <= to));
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
  const untouched = live.written.length + live.doubtful.length === 0;
  return { pieces, untouched, stored: stay.map(({ from }) => from), missing };
}
