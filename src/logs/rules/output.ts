/** An attempt's output as pieces of bytes at positions: what is kept of it, what is missing, how it reads as text. */
import { textFromBytes } from "../../text/cuts.ts";

/** Bytes of an output, with the place of the first in the whole of it. */
export interface OutputPiece {
  position: number;
  bytes: Uint8Array;
}

/** From a position up to, but not with, another one. */
export interface Span {
  from: number;
  to: number;
}

/** The whole output of an attempt that has ended, as far as it is kept, and what of it is stored by now. */
export interface FinalOutput {
  /** In order; where one begins later than the last ended, bytes were cut out. */
  pieces: readonly OutputPiece[];
  /** Positions of the stored pieces that stay; all others go. */
  stored: readonly number[];
  /** What is to be stored besides. */
  missing: readonly OutputPiece[];
}

/** What a message of ours leaves when nothing was stored while the attempt ran. */
export function wholeOutput(bytes: Uint8Array): FinalOutput {
  const pieces = bytes.length === 0 ? [] : [{ position: 0, bytes }];
  return { pieces, stored: [], missing: pieces };
}

/** Bytes of the beginning that are kept, of a limit. */
export function headBytesOf(limitBytes: number): number {
  return Math.floor(limitBytes / 2);
}

/** What is kept of an output of so many bytes: its head, and its end. Neither is empty. */
export function keptSpans(totalBytes: number, limitBytes: number): Span[] {
  const headEnd = Math.min(totalBytes, headBytesOf(limitBytes));
  const endStart = Math.max(headEnd, totalBytes - (limitBytes - headBytesOf(limitBytes)));
  const spans = [
    { from: 0, to: headEnd },
    { from: endStart, to: totalBytes },
  ];
  return spans.filter(({ from, to }) => from < to);
}

/** What of `wanted` is not in `present`; both in order, the spans of each apart from one another. */
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

/** A piece is no larger: whoever reads a part of it makes Postgres unpack all of it. */
const MAX_PIECE_BYTES = 128 * 1024;

/** A span as spans of the size of a piece. */
export function inPieces({ from, to }: Span): Span[] {
  const count = Math.ceil((to - from) / MAX_PIECE_BYTES);
  return Array.from({ length: count }, (_, index) => {
    const start = from + index * MAX_PIECE_BYTES;
    return { from: start, to: Math.min(to, start + MAX_PIECE_BYTES) };
  });
}

/** The line that stands for bytes that were cut out. */
export function omittedLine(bytes: number): string {
  return `\n... ${bytes} bytes omitted ...\n`;
}

/** An output as text, a line for each gap in it, and the bytes that were cut out. */
export function renderOutput(pieces: readonly OutputPiece[]): { text: string; omittedBytes: number } {
  let text = "";
  let omittedBytes = 0;
  for (const { gap, bytes } of stretches(pieces, 0)) {
    if (gap > 0) text += omittedLine(gap);
    text += textFromBytes(bytes);
    omittedBytes += gap;
  }
  return { text, omittedBytes };
}

/** Bytes without a gap, and how many were cut out before them. */
export interface Stretch {
  gap: number;
  bytes: Uint8Array;
}

/** Pieces in order, joined where they touch, from a position on. A piece may begin before it or overlap the last one. */
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
