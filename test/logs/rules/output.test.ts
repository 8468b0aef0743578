/** Tests of rendering the pieces of an output and the gaps between them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  keptSpans,
  missingSpans,
  renderOutput,
  type Span,
  stretches,
} from "../../../src/logs/rules/output.ts";

const piece = (position: number, text: string) => ({ position, bytes: Buffer.from(text) });

describe("renderOutput", () => {
  it("joins adjacent pieces, also within a character", () => {
    const euro = Buffer.from("€");
    const pieces = [
      { position: 0, bytes: euro.subarray(0, 1) },
      { position: 1, bytes: euro.subarray(1) },
      piece(3, "!"),
    ];
    expect(renderOutput(pieces)).toEqual({ text: "€!", omittedBytes: 0 });
  });

  it("marks where bytes were cut out, and returns how many", () => {
    expect(renderOutput([piece(0, "ab"), piece(5, "c"), piece(7, "d")])).toEqual({
      text: "ab\n... 3 bytes omitted ...\nc\n... 1 bytes omitted ...\nd",
      omittedBytes: 4,
    });
    expect(renderOutput([piece(2, "x")])).toEqual({ text: "\n... 2 bytes omitted ...\nx", omittedBytes: 2 });
  });

  it("cuts between characters: a half beside a gap counts as left out", () => {
    const bytes = Buffer.from("あ".repeat(9));
    for (const [headEnd, endStart] of [
      [3, 12],
      [4, 13],
      [5, 14],
      [6, 16],
    ] as const) {
      const pieces = [
        { position: 0, bytes: bytes.subarray(0, headEnd) },
        { position: endStart, bytes: bytes.subarray(endStart) },
      ];
      const { text, omittedBytes } = renderOutput(pieces);
      expect(text).toMatch(/^あ+\n\.\.\. \d+ bytes omitted \.\.\.\nあ+$/);
      expect(Buffer.byteLength(text.replace(/\n.*\n/, "")) + omittedBytes).toBe(bytes.length);
      expect(renderOutput(pieces.slice(1)).text).toMatch(/^\n.*\nあ+$/);
    }
    // Nothing but halves between two gaps.
    const halves = [piece(0, "a"), { position: 5, bytes: bytes.subarray(1, 3) }, piece(9, "b")];
    expect(renderOutput(halves)).toEqual({ text: "a\n... 8 bytes omitted ...\nb", omittedBytes: 8 });
  });

  it("returns an empty text without pieces", () => {
    expect(renderOutput([])).toEqual({ text: "", omittedBytes: 0 });
  });
});

describe("stretches", () => {
  it("returns no byte twice, and none before the position", () => {
    const found = stretches([piece(0, "abcdef"), piece(4, "efgh"), piece(10, "k")], 3);
    expect(found.map(({ gap, bytes }) => [gap, Buffer.from(bytes).toString()])).toEqual([
      [0, "defgh"],
      [2, "k"],
    ]);
  });
});

describe("keptSpans", () => {
  it.each<[number, number, Span[]]>([
    [0, 4, []],
    [1, 4, [{ from: 0, to: 1 }]],
    [
      4,
      4,
      [
        { from: 0, to: 2 },
        { from: 2, to: 4 },
      ],
    ],
    [
      5,
      4,
      [
        { from: 0, to: 2 },
        { from: 3, to: 5 },
      ],
    ],
    [9, 1, [{ from: 8, to: 9 }]],
    [
      9,
      5,
      [
        { from: 0, to: 2 },
        { from: 6, to: 9 },
      ],
    ],
  ])("returns the kept spans of %i bytes with a limit of %i", (totalBytes, limitBytes, spans) => {
    expect(keptSpans(totalBytes, limitBytes)).toEqual(spans);
  });
});

describe("missingSpans", () => {
  it("equals the difference of the sets of positions", () => {
    const spans = fc
      .uniqueArray(fc.nat(40), { maxLength: 8 })
      .map((edges) => edges.toSorted((a, b) => a - b))
      .map((edges) =>
        edges.flatMap((from, i) => (i % 2 === 0 && edges[i + 1] ? [{ from, to: edges[i + 1] ?? from }] : [])),
      );
    const positions = (all: readonly Span[]) =>
      new Set(all.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)));
    fc.assert(
      fc.property(spans, spans, (wanted, present) => {
        const missing = missingSpans(wanted, present);
        expect(positions(missing)).toEqual(
          new Set([...positions(wanted)].filter((one) => !positions(present).has(one))),
        );
        expect(missing.every(({ from, to }) => from < to)).toBe(true);
      }),
    );
  });
});
