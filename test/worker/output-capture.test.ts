/** Holds the capture to a naive oracle that keeps everything. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CapturedOutput, createCapture } from "../../src/worker/output-capture.ts";

function capture(limitBytes: number, chunks: readonly Uint8Array[]): CapturedOutput {
  const capture = createCapture(limitBytes);
  // One buffer for all chunks, as the pipe reader has: what is kept must be a copy.
  const reused = Buffer.alloc(Math.max(0, ...chunks.map((chunk) => chunk.length)));
  for (const chunk of chunks) {
    reused.set(chunk);
    capture.write(reused.subarray(0, chunk.length));
  }
  return capture.finish();
}

function oracle(limitBytes: number, chunks: readonly Uint8Array[]): CapturedOutput {
  const all = Buffer.concat(chunks);
  if (all.length <= limitBytes) return { output: all, omittedBytes: 0 };
  const headBytes = Math.floor(limitBytes / 2);
  const omittedBytes = all.length - limitBytes;
  const head = all.subarray(0, headBytes);
  const tail = all.subarray(headBytes + omittedBytes);
  return {
    output: Buffer.concat([head, Buffer.from(`\n... ${omittedBytes} bytes omitted ...\n`), tail]),
    omittedBytes,
  };
}

describe("createCapture", () => {
  it("agrees with the oracle for any bytes, cut anyhow", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }),
        (limitBytes, chunks) => {
          expect(capture(limitBytes, chunks)).toEqual(oracle(limitBytes, chunks));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("is empty when nothing was written", () => {
    expect(capture(10, [])).toEqual({ output: Buffer.alloc(0), omittedBytes: 0 });
  });

  it("keeps exactly the limit without a marker, and marks one byte more", () => {
    expect(capture(4, [Buffer.from("abcd")])).toEqual({ output: Buffer.from("abcd"), omittedBytes: 0 });
    const { output, omittedBytes } = capture(4, [Buffer.from("abcde")]);
    expect(output.toString()).toBe("ab\n... 1 bytes omitted ...\nde");
    expect(omittedBytes).toBe(1);
  });

  it("holds no more than the limit however much is written in however small chunks", () => {
    const limitBytes = 1_048_576;
    const flood = createCapture(limitBytes);
    const before = process.memoryUsage().arrayBuffers;
    const chunk = Buffer.alloc(7, "x");
    for (let written = 0; written < 16 * limitBytes; written += chunk.length) flood.write(chunk);
    // While growing, the old and the new buffer live side by side until they are collected.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * limitBytes);
    expect(flood.finish().output.length).toBeLessThan(limitBytes + 100);
  });
});
