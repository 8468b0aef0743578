/** Keeps the head and the tail of a command's output in bounded memory. */

/** What was kept of an output: all of it, or head and tail with a marker line between them. */
export interface CapturedOutput {
  output: Buffer;
  omittedBytes: number;
}

/** Collects one output: written chunk by chunk, finished once. */
export interface Capture {
  /** Copies what it keeps of `chunk`, so the caller may reuse the chunk's memory. */
  write(chunk: Buffer): void;
  finish(): CapturedOutput;
}

/**
 * Keeps everything up to `limitBytes` (at least 1); of more, the first and the last half, with a line
 * between them that names the number of bytes left out. That line comes on top of the limit.
 * Memory grows with what is written, up to the limit, whatever the number of chunks.
 */
export function createCapture(limitBytes: number): Capture {
  const headBytes = Math.floor(limitBytes / 2);
  const tailBytes = limitBytes - headBytes;
  let total = 0;
  // Filled from front to back; once full, all behind headBytes is a ring that keeps the last tailBytes.
  let kept: Buffer = Buffer.alloc(0);

  const nextInRing = () => headBytes + ((total - headBytes) % tailBytes);

  function growTo(wantedBytes: number): void {
    if (wantedBytes <= kept.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.min(limitBytes, Math.max(wantedBytes, 2 * kept.length)));
    kept.copy(larger);
    kept = larger;
  }

  function write(chunk: Buffer): void {
    growTo(Math.min(limitBytes, total + chunk.length));
    const intoHead = total < headBytes ? chunk.copy(kept, total, 0, headBytes - total) : 0;
    const lasting = chunk.subarray(intoHead).subarray(-tailBytes);
    total += chunk.length - lasting.length;
    const beforeWrap = lasting.copy(kept, nextInRing());
    lasting.copy(kept, headBytes, beforeWrap);
    total += lasting.length;
  }

  function finish(): CapturedOutput {
    const omittedBytes = Math.max(0, total - limitBytes);
    if (omittedBytes === 0) return { output: kept.subarray(0, total), omittedBytes };
    const oldest = nextInRing();
    const marker = Buffer.from(`\n... ${omittedBytes} bytes omitted ...\n`);
    const head = kept.subarray(0, headBytes);
    const output = Buffer.concat([head, marker, kept.subarray(oldest), kept.subarray(headBytes, oldest)]);
    return { output, omittedBytes };
  }

  return { write, finish };
}
