/** Tests of the live writes of a growing output, with failed and unconfirmed writes, against the complete output. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  finalOutput,
  type LiveOutput,
  type LiveStep,
  MAX_WRITE_BYTES,
  NOTHING_WRITTEN,
  nextWrite,
} from "../../../src/logs/rules/live-output.ts";
import {
  inPieces,
  keptSpans,
  type OutputPiece,
  type Span,
  stretches,
} from "../../../src/logs/rules/output.ts";

/** How many bytes a command prints, and the result of the write after that; lost: done, but not confirmed. */
interface Round {
  printed: number;
  write: "done" | "failed" | "lost" | "none";
}

/** Bytes whose values depend on their position. */
const byteAt = (position: number) => (position * 31 + (position >> 8)) & 0xff;
const bytesOf = ({ from, to }: Span) => Uint8Array.from({ length: to - from }, (_, i) => byteAt(from + i));
const read = (span: Span): OutputPiece => ({ position: span.from, bytes: bytesOf(span) });
const length = ({ from, to }: Span) => to - from;

/** The content of the table: the length of the piece at each position. */
type Stored = Map<number, number>;

function play(limitBytes: number, rounds: readonly Round[]) {
  const stored: Stored = new Map();
  let live: LiveOutput = NOTHING_WRITTEN;
  let unsure: LiveStep | undefined;
  let total = 0;
  for (const { printed, write } of rounds) {
    total += printed;
    // An unconfirmed write is repeated before any other.
    const repeated = unsure;
    const step = unsure ?? nextWrite(live, total, limitBytes);
    if (write === "none") continue;
    const before = Math.max(0, ...[...stored].map(([position, size]) => position + size));
    expect(step.spans.reduce((sum, span) => sum + length(span), 0)).toBeLessThanOrEqual(MAX_WRITE_BYTES);
    const kept = keptSpans(total, limitBytes);
    for (const { from, to } of repeated ? [] : step.spans) {
      expect(kept.some((span) => span.from <= from && to <= span.to)).toBe(true);
    }
    if (write !== "failed") {
      for (const position of step.dropped) stored.delete(position);
      for (const span of step.spans) stored.set(span.from, length(span));
      // No new bytes appear before a position that a follower may have read already.
      const ends = step.spans.map(({ to }) => to);
      expect(ends.every((to) => to > before || repeated !== undefined)).toBe(true);
    }
    unsure = write === "done" ? undefined : step;
    if (write === "done") live = step.after;
  }
  return { stored, live, unsure, total };
}

const writes = fc.constantFrom<Round["write"]>("done", "done", "done", "failed", "lost", "none");
const roundsOf = (most: number) =>
  fc.array(fc.record({ printed: fc.nat(most), write: writes }), { maxLength: 12 });

describe("nextWrite", () => {
  it.each([
    { limit: 16, most: 12 },
    { limit: 20_000, most: 9_000 },
    { limit: 4 * 1_048_576, most: 1_500_000 },
  ])("stores exactly the head and the end of any output with a limit of $limit", ({ limit, most }) => {
    fc.assert(
      fc.property(roundsOf(most), (rounds) => {
        const { stored, live, unsure, total } = play(limit, rounds);
        const sized = (span: Span): OutputPiece => ({
          position: span.from,
          bytes: new Uint8Array(length(span)),
        });
        const final = finalOutput(live, unsure, total, limit, sized);
        const complete = new Map(final.missing.map(({ position, bytes }) => [position, bytes.length]));
        for (const position of final.stored) complete.set(position, stored.get(position) ?? -1);
        const sorted = [...complete].toSorted(([a], [b]) => a - b);
        const merged: Span[] = [];
        for (const [from, size] of sorted) {
          const last = merged.at(-1);
          if (last?.to === from) last.to += size;
          else merged.push({ from, to: from + size });
        }
        const kept = keptSpans(total, limit);
        const [head, end] = kept;
        const touching = head && end && head.to === end.from;
        expect(merged).toEqual(touching ? [{ from: 0, to: total }] : kept);
        if (final.stored.length + final.missing.length === 0) expect(stored.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it("stores the exact bytes", () => {
    const { live, total } = play(16, [
      { printed: 10, write: "done" },
      { printed: 3, write: "none" },
      { printed: 40, write: "done" },
    ]);
    const { pieces, missing } = finalOutput(live, undefined, total, 16, read);
    expect(stretches(pieces, 0).reduce((sum, { gap }) => sum + gap, 0)).toBe(53 - 16);
    for (const { position, bytes } of [...pieces, ...missing]) {
      expect(bytes).toEqual(bytesOf({ from: position, to: position + bytes.length }));
    }
  });

  it("extends small pieces, so that a command that prints single bytes makes few rows", () => {
    const rounds = Array.from({ length: 9_000 }, (): Round => ({ printed: 1, write: "done" }));
    const { stored } = play(1_048_576, rounds);
    expect(stored.size).toBe(2);
  });

  it("skips output that arrives faster than it may write, and keeps the newest", () => {
    const limit = 8 * 1_048_576;
    const head = limit / 2;
    const filled = Array.from(
      { length: head / MAX_WRITE_BYTES },
      (): Round => ({ printed: MAX_WRITE_BYTES, write: "done" }),
    );
    const { live, total } = play(limit, filled);
    expect([total, live.seen]).toEqual([head, head]);
    const later = head + 3_000_000;
    expect(nextWrite(live, later, limit).spans).toEqual(
      inPieces({ from: later - MAX_WRITE_BYTES, to: later }),
    );
  });

  it("stores the same pieces when an unconfirmed write is repeated, however much is printed meanwhile", () => {
    const limit = 4 * 1_048_576;
    const filled = Array.from({ length: 4 }, (): Round => ({ printed: MAX_WRITE_BYTES, write: "done" }));
    const after = (...rounds: Round[]) => play(limit, [...filled, ...rounds]);
    const lost = after({ printed: 1_000, write: "lost" });
    expect(lost.live.written.at(-1)?.to).toBe(lost.total - 1_000);
    const again = after({ printed: 1_000, write: "lost" }, { printed: 1_000_000, write: "done" });
    expect(again.live.written).toEqual(after({ printed: 1_000, write: "done" }).live.written);
    expect(again.stored).toEqual(lost.stored);
  });

  it("does not rely on a piece that an unconfirmed write may have replaced", () => {
    const { live, unsure, total } = play(1_000, [
      { printed: 100, write: "done" },
      { printed: 100, write: "lost" },
    ]);
    const { stored, missing } = finalOutput(live, unsure, total, 1_000, read);
    expect(stored).toEqual([]);
    expect(missing).toEqual([read({ from: 0, to: 200 })]);
  });

  it("drops pieces that no longer belong to the kept end", () => {
    const { stored, live } = play(20_000, [
      { printed: 10_000, write: "done" },
      { printed: 9_000, write: "done" },
    ]);
    expect([...stored.keys()]).toEqual([0, 10_000]);
    expect(nextWrite(live, 29_000, 20_000).dropped).toEqual([10_000]);
  });
});
