/** Describes an output as pieces of bytes at positions: what is kept, what is missing, and how it reads as text. */
import { afterHalfCharacter, headInBytes, textFromBytes } from "../../text/cuts.ts";

/** Some bytes of an output, and the position of the first one. */
export interface OutputPiece {
  position: number;
  bytes: Uint8Array;
}

/** A range of positions: `from` is inclusive, `to` is exclusive. */
export interface Span {
  from: number;
  to: number;
}

/** The kept output of an attempt that has ended, and which part of it is stored already. */
export interface FinalOutput {
  /** The kept output in order. A gap between two pieces stands for bytes that were left out. */
  pieces: readonly OutputPiece[];
  /** Positions of the stored pieces to keep; all others are deleted. */
  stored: readonly number[];
  /** The pieces to store. */
  missing: readonly OutputPiece[];
}

/** Makes a final output of a message, for an attempt of which nothing is stored. */
export function wholeOutput(bytes: Uint8Array): FinalOutput {
  const pieces = bytes.length === 0 ? [] : [{ position: 0, bytes }];
  return { pieces, stored: [], missing: pieces };
}

/** The size of the head that is kept, given the limit of the whole output. */
export function headBytesOf(limitBytes: number): number {
  return Math.floor(limitBytes / 2);
}

/** The kept parts of an output of `totalBytes`: its head and its end. Empty parts are left out. */
export function keptSpans(totalBytes: number, limitBytes: number): Span[] {
  const headEnd = Math.min(totalBytes, headBytesOf(limitBytes));
  const endStart = Math.max(headEnd, totalBytes - (limitBytes - headBytesOf(limitBytes)));
  const spans = [
    { from: 0, to: headEnd },
    { from: endStart, to: totalBytes },
  ];
  return spans.filter(({ from, to }) => from < to);
}

/** Returns the parts of `wanted` that are not in `present`. Both are in order, and the spans of each do not overlap. */
export function missingSpans(wanted: readonly Span[], present: readonly Span[]): Span[] {
  return wanted.flatMap((span) => {
    const missing: Span[] = [];
    let from = span.from;
    for (const one of present) {
      if (one.to <= from || one.from >= span.to) continue;
      if (one.from > from) missing.push({ from, to: one.from });
      from = one.to;
    }
    if (from < span.to) missing.push({ from, to: span.to });
    return missing;
  });
}

/** The largest piece: to read a part of a piece, Postgres has to unpack all of it. */
const MAX_PIECE_BYTES = 128 * 1024;

/** Splits a span into spans that are no larger than a piece. */
export function inPieces({ from, to }: Span): Span[] {
  const count = Math.ceil((to - from) / MAX_PIECE_BYTES);
  return Array.from({ length: count }, (_, index) => {
    const start = from + index * MAX_PIECE_BYTES;
    return { from: start, to: Math.min(to, start + MAX_PIECE_BYTES) };
  });
}

/** The line that stands for bytes that were left out. */
export function omittedLine(bytes: number): string {
  return `\n... ${bytes} bytes omitted ...\n`;
}

/** Returns an output as text, with a line for each gap, and the number of bytes that were left out. */
export function renderOutput(pieces: readonly OutputPiece[]): { text: string; omittedBytes: number } {
  let text = "";
  let omittedBytes = 0;
  for (const { gap, bytes } of shownStretches(pieces, 0)) {
    if (gap > 0) text += omittedLine(gap);
    text += textFromBytes(bytes);
    omittedBytes += gap;
  }
  return { text, omittedBytes };
}

/** Bytes without a gap, and the number of bytes that were left out before them. */
export interface Stretch {
  gap: number;
  bytes: Uint8Array;
}

/** Joins pieces that touch, from a position on. They are in order; one may begin before it or overlap the last one. */
export function stretches(pieces: readonly OutputPiece[], position: number): Stretch[] {
  const found: { gap: number; parts: Uint8Array[] }[] = [];
  let end = position;
  for (const piece of pieces) {
    const bytes = piece.bytes.subarray(Math.max(0, end - piece.position));
    if (bytes.length === 0) continue;
    const gap = Math.max(0, piece.position - end);
    const last = found.at(-1);
    if (last === undefined || gap > 0) found.push({ gap, parts: [bytes] });
    else last.parts.push(bytes);
    end = piece.position + piece.bytes.length;
  }
  return found.map(({ gap, parts }) => ({ gap, bytes: joined(parts) }));
}

/** Does the same for readers of text: the halves of characters beside a gap become a part of the gap. */
export function shownStretches(pieces: readonly OutputPiece[], position: number): Stretch[] {
  const all = stretches(pieces, position);
  const whole: Stretch[] = [];
  let cut = 0;
  for (const [index, { gap, bytes }] of all.entries()) {
    const isLast = index === all.length - 1;
    const begun = gap > 0 ? afterHalfCharacter(bytes) : bytes;
    // The rest of the last character may follow in another read.
    const shown = isLast ? begun : headInBytes(begun);
    const missing = cut + gap + bytes.length - begun.length;
    const isEmpty = shown.length === 0 && !isLast;
    if (!isEmpty) whole.push({ gap: missing, bytes: shown });
    cut = begun.length - shown.length + (isEmpty ? missing : 0);
  }
  return whole;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first = new Uint8Array()] = parts;
  if (parts.length <= 1) return first;
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
