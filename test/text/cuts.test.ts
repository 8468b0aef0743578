/** Tests of making text from bytes and of cutting text: the result is valid Unicode and within its limit. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { endInBytes, endInUnits, headInBytes, textFromBytes } from "../../src/text/cuts.ts";

/** Any well-formed text, with characters of 1 to 4 bytes. */
const anyText = fc.string({ unit: fc.constantFrom("a", "\n", "é", "€", "🫖", "\u{10ffff}"), maxLength: 40 });
/** Any UTF-16 code units, lone surrogates included. */
const anyUnits = fc
  .array(fc.constantFrom(0x61, 0xe9, 0xd83e, 0xded6, 0xdfff, 0xd800), { maxLength: 40 })
  .map((units) => String.fromCharCode(...units));
const anyLimit = fc.nat(80);

describe("textFromBytes", () => {
  test.each([
    ["ASCII", [0x61, 0x0a], "a\n"],
    ["UTF-8", [0xf0, 0x9f, 0xab, 0x96], "🫖"],
    ["NUL", [0x61, 0x00, 0x62], "a\ufffdb"],
    ["a byte that starts no character", [0x61, 0xff, 0x62], "a\ufffdb"],
    ["an incomplete character", [0xe2, 0x82], "\ufffd"],
    ["half of a surrogate pair", [0xed, 0xa0, 0x80], "\ufffd\ufffd\ufffd"],
    ["a byte order mark", [0xef, 0xbb, 0xbf, 0x61], "\ufeffa"],
    ["no bytes", [], ""],
  ])("decodes %s", (_, bytes, text) => {
    expect(textFromBytes(Uint8Array.from(bytes))).toBe(text);
  });

  test("returns well-formed text without NUL for any bytes, independent of earlier calls", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const text = textFromBytes(bytes);
        expect(text.isWellFormed()).toBe(true);
        expect(text).not.toContain("\0");
        expect(textFromBytes(Uint8Array.of(0x61))).toBe("a");
      }),
    );
  });

  test("returns valid UTF-8 text unchanged", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(textFromBytes(Buffer.from(text))).toBe(text);
      }),
    );
  });
});

describe("headInBytes", () => {
  test("splits bytes where decoding both parts gives the same text as decoding the whole", () => {
    const bytes = fc.array(
      fc.oneof(fc.constantFrom("é", "€", "🔔", "a", "\0"), fc.uint8Array({ maxLength: 3 })),
    );
    fc.assert(
      fc.property(bytes, fc.nat(60), (parts, at) => {
        const all = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
        const whole = headInBytes(all, at).length;
        expect(textFromBytes(all.subarray(0, whole)) + textFromBytes(all.subarray(whole))).toBe(
          textFromBytes(all),
        );
        expect(Math.min(at, all.length) - whole).toBeLessThanOrEqual(3);
      }),
      { numRuns: 1_000 },
    );
  });

  test("leaves out at most the start of one character", () => {
    const count = (bytes: number[]) => headInBytes(Buffer.from(bytes)).length;
    expect(count([])).toBe(0);
    expect(count([0x61, 0xc3])).toBe(1);
    expect(count([0xc3, 0xa9])).toBe(2);
    expect(count([0xf0, 0x9f, 0x94])).toBe(0);
    expect(count([0x80, 0x80, 0x80, 0x80])).toBe(4);
  });
});

describe.each([
  ["endInBytes", endInBytes, (text: string) => Buffer.byteLength(text), 4],
  ["endInUnits", endInUnits, (text: string) => text.length, 2],
])("%s", (_, end, size, widest) => {
  test("keeps a text that fits, and else its longest end of whole characters", () => {
    fc.assert(
      fc.property(anyText, anyLimit, (text, limit) => {
        const kept = end(text, limit);
        expect(text.endsWith(kept)).toBe(true);
        expect(kept.isWellFormed()).toBe(true);
        expect(size(kept)).toBeLessThanOrEqual(limit);
        if (kept !== text) expect(size(kept)).toBeGreaterThan(limit - widest);
      }),
    );
  });

  test("keeps an end of a text with lone surrogates within the limit, and splits no pair", () => {
    fc.assert(
      fc.property(anyUnits, anyLimit, (text, limit) => {
        const kept = end(text, limit);
        expect(text.toWellFormed().endsWith(kept.toWellFormed())).toBe(true);
        expect(size(kept)).toBeLessThanOrEqual(limit);
      }),
    );
  });

  test.each([0, -1])("keeps nothing with a limit of %i", (limit) => {
    expect(end("text", limit)).toBe("");
    expect(end("", limit)).toBe("");
  });
});

test("keeps an emoji whole or leaves it out, wherever the cut falls", () => {
  expect([4, 3, 2, 1].map((limit) => endInUnits("a🫖b", limit))).toEqual(["a🫖b", "🫖b", "b", "b"]);
  expect([6, 5, 4, 3, 2, 1].map((limit) => endInBytes("a🫖b", limit))).toEqual([
    "a🫖b",
    "🫖b",
    "b",
    "b",
    "b",
    "b",
  ]);
});
