/** Tests of the capture against a naive oracle that keeps everything. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Capture, createCapture } from "../../src/logs/capture.ts";
import { keptSpans, type Span } from "../../src/logs/rules/output.ts";

function filled(limitBytes: number, chunks: readonly Uint8Array[]): Capture {
  const capture = createCapture(limitBytes);
  // All chunks share one buffer, as in the pipe reader, so the capture must keep copies.
  const reused = Buffer.alloc(Math.max(0, ...chunks.map((chunk) => chunk.length)));
  for (const chunk of chunks) {
    reused.set(chunk);
    capture.write(reused.subarray(0, chunk.length));
  }
  return capture;
}

/** A part of a span. */
function partOf({ from, to }: Span, share: readonly [number, number]): Span {
  const [a, b] = share.map((part) => from + Math.floor(part * (to - from))).toSorted((x, y) => x - y);
  return { from: a ?? from, to: b ?? to };
}

describe("createCapture", () => {
  it("returns the head and the end of any output, however it is split, and any part of them", () => {
    const share = fc.tuple(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }),
        share,
        (limitBytes, chunks, part) => {
          const all = Buffer.concat(chunks);
          const capture = filled(limitBytes, chunks);
          expect(capture.total()).toBe(all.length);
          for (const kept of keptSpans(all.length, limitBytes)) {
            for (const span of [kept, partOf(kept, part)]) {
              const { position, bytes } = capture.read(span);
              expect(position).toBe(span.from);
              expect(Buffer.compare(bytes, all.subarray(span.from, span.to))).toBe(0);
            }
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("returns copies", () => {
    const capture = filled(4, [Buffer.from("abcd")]);
    const { bytes } = capture.read({ from: 2, to: 4 });
    capture.write(Buffer.from("ef"));
    expect(bytes.toString()).toBe("cd");
  });

  it("uses no more memory than the limit, however much is written in however small chunks", () => {
    const limitBytes = 1_048_576;
    const flood = createCapture(limitBytes);
    const before = process.memoryUsage().arrayBuffers;
    const chunk = Buffer.alloc(7, "x");
    for (let written = 0; written < 16 * limitBytes; written += chunk.length) flood.write(chunk);
    // While the capture grows, the old and the new buffer exist together until garbage collection.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * limitBytes);
  });
});
