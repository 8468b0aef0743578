/** Holds durations to their writing, both ways. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatDuration, parseDuration } from "../../src/time/duration.ts";

test.each([
  ["0s", 0],
  ["500ms", 500],
  ["5s", 5_000],
  ["10m", 600_000],
  ["1h30m", 5_400_000],
  ["1d", 86_400_000],
  ["1d2h3m4s5ms", 93_784_005],
  ["90s", 90_000],
])("%s is %i ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(["", "5", "s", "-5s", "1.5h", "5S", " 5s", "5s ", "1m2h", "5s5s", "5m\n", "1e3s", "٥s"])(
  "%j is no duration",
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

test("what is no safe number of ms, or too long to be one, is none", () => {
  expect(parseDuration("104249991d")).toBe(104_249_991 * 86_400_000);
  expect(parseDuration("104249992d")).toBeUndefined();
  expect(parseDuration(`${"0".repeat(39)}1s`)).toBeUndefined();
});

test.each([
  [0, "0s"],
  [1, "1ms"],
  [90_000, "1m30s"],
  [93_784_005, "1d2h3m4s5ms"],
])("%i ms is written %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("every written duration reads back as it was", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }),
  );
});
