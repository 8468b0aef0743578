/** Tests of parsing and formatting durations, in the short form and in the words of cheek's documentation. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatDuration, parseDuration } from "../../src/time/duration.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

test.each([
  ["0s", 0],
  ["500ms", 500],
  ["5s", 5_000],
  ["10m", 600_000],
  ["1h30m", 5_400_000],
  ["1d", 86_400_000],
  ["1d2h3m4s5ms", 93_784_005],
  ["90s", 90_000],
  ["2w", 14 * DAY],
  ["1mo", 30 * DAY],
  ["1y 1mo 1w", 402 * DAY],
  ["250 milliseconds", 250],
])("parses %s as %i ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  ["30 days", 30 * DAY, "30 days"],
  ["1 day", DAY, "1 day"],
  ["2 weeks", 14 * DAY, "14 days"],
  ["1 month", 30 * DAY, "30 days"],
  ["1 year", 365 * DAY, "365 days"],
  ["24 hours", DAY, "1 day"],
  ["12h", 12 * HOUR, "12 hours"],
  ["90 minutes", 90 * MINUTE, "1 hour and 30 minutes"],
  ["1 hour and 30 minutes", 90 * MINUTE, "1 hour and 30 minutes"],
  ["1 day, 3hrs 2sec", DAY + 3 * HOUR + 2_000, "1 day and 3 hours and 2 seconds"],
  ["1d12h", 36 * HOUR, "1 day and 12 hours"],
  ["0 days", 0, "0 seconds"],
])("parses %j as %d ms and formats it as %j", (text, ms, written) => {
  expect(parseDuration(text)).toBe(ms);
  expect(formatDuration(ms, "words")).toBe(written);
});

test.each(["", "5", "s", "-5s", "1.5h", "5S", " 5s", "5s ", "1m2h", "5s5s", "5m\n", "1e3s", "٥s"])(
  "does not parse %j as a duration",
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

test.each([
  "days",
  "5 potatoes",
  "-1 day",
  "1.5 days",
  "1 day and",
  "and 1 day",
  "1 daysand 2 hours",
  "1 day  2 hours",
  "2 hours 1 day",
  "1 m and 1 minute",
])("does not parse the words %j as a duration", (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test("does not parse a duration beyond the safe integers, or a text that is too long", () => {
  expect(parseDuration("104249991d")).toBe(104_249_991 * 86_400_000);
  expect(parseDuration("104249992d")).toBeUndefined();
  expect(parseDuration(`${"0".repeat(39)}1s`)).toBeUndefined();
  expect(parseDuration("9999999999999999 years")).toBeUndefined();
  expect(parseDuration(`1 day${" and 1 hour".repeat(10)}`)).toBeUndefined();
});

test.each([
  [0, "0s"],
  [1, "1ms"],
  [90_000, "1m30s"],
  [93_784_005, "1d2h3m4s5ms"],
])("formats %i ms as %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("parses every formatted duration back to its value, in both styles", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.constantFrom("short", "words"), (ms, style) => {
      expect(parseDuration(formatDuration(ms, style))).toBe(ms);
    }),
  );
});
