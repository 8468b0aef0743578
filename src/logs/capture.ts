/** Keeps the head and the end of a command's output in bounded memory. */
import { headBytesOf, type OutputPiece, type Span } from "./rules/output.ts";

/** The kept part of one output, which is written chunk by chunk. */
export interface Capture {
  /** Copies what it keeps of `chunk`, so the caller may reuse the chunk's memory. */
  write(chunk: Buffer): void;
  /** Bytes written so far. */
  total(): number;
  /** Returns a copy of the bytes at `span`, which must be part of what is kept and must not cross from head to end. */
  read(span: Span): OutputPiece;
}

/**
 * Keeps an output whole up to `limitBytes` (at least 1); of a longer one, its first and its last half.
 * Memory grows with the output up to the limit; the number of chunks does not matter.
 */
export function createCapture(limitBytes: number): Capture {
  const headBytes = headBytesOf(limitBytes);
  const endBytes = limitBytes - headBytes;
  let total = 0;
  // It fills from front to back. Once it is full, the part behind headBytes is a ring of the last endBytes.
  let kept: Buffer = Buffer.alloc(0);

  const placeOf = (position: number) =>
    position < headBytes ? position : headBytes + ((position - headBytes) % endBytes);

  function growTo(wantedBytes: number): void {
    if (wantedBytes <= kept.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.min(limitBytes, Math.max(wantedBytes, 2 * kept.length)));
    kept.copy(larger);
    kept = larger;
  }

  function write(chunk: Buffer): void {
    growTo(Math.min(limitBytes, total + chunk.length));
    const intoHead = total < headBytes ? chunk.copy(kept, total, 0, headBytes - total) : 0;
    const lasting = chunk.subarray(intoHead).subarray(-endBytes);
    total += chunk.length - lasting.length;
    const beforeWrap = lasting.copy(kept, placeOf(total));
    lasting.copy(kept, headBytes, beforeWrap);
    total += lasting.length;
  }

  function read({ from, to }: Span): OutputPiece {
    const bytes = Buffer.allocUnsafeSlow(to - from);
    const beforeWrap = kept.copy(bytes, 0, placeOf(from), placeOf(from) + bytes.length);
    if (beforeWrap < bytes.length) kept.copy(bytes, beforeWrap, headBytes);
    return { position: from, bytes };
  }

  return { write, total: () => total, read };
}
