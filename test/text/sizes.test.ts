/** Tests of parsing and formatting sizes. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatSize, parseSize } from "../../src/text/sizes.ts";

test.each([
  ["0", 0],
  ["4096", 4_096],
  ["4096B", 4_096],
  ["64KiB", 65_536],
  ["64 kib", 65_536],
  ["1 MiB", 1_048_576],
  ["2MB", 2_000_000],
  ["3 kb", 3_000],
])("parses %s as %i bytes", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "B", "1.5MiB", "-1", "1 GiB", "1  MiB", "1MiB ", "1e3", "٥B", "1234567890123"])(
  "does not parse %j as a size",
  (text) => {
    expect(parseSize(text)).toBeUndefined();
  },
);

test("parses every formatted size back to its value", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 34 }), (bytes) => parseSize(formatSize(bytes)) === bytes),
  );
  expect([0, 1_000, 65_536, 1_048_576].map(formatSize)).toEqual(["0B", "1000B", "64KiB", "1MiB"]);
});
