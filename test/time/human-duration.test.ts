/** Durations in words: what cheek's documentation shows, and what is none. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { formatHumanDuration, parseHumanDuration } from "../../src/time/duration.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

it.each([
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
  [" 1D12H ", 36 * HOUR, "1 day and 12 hours"],
  ["0 days", 0, "0 seconds"],
])("%j is %d ms, and is written %j", (text, ms, written) => {
  expect(parseHumanDuration(text)).toBe(ms);
  expect(formatHumanDuration(ms)).toBe(written);
});

it.each(["", "days", "5", "5 potatoes", "-1 day", "1.5 days", "1 day and", "and 1 day", "1 daysand 2 hours"])(
  "%j is none",
  (text) => {
    expect(parseHumanDuration(text)).toBeUndefined();
  },
);

it("is none beyond what a number holds", () => {
  expect(parseHumanDuration("9999999999999999 years")).toBeUndefined();
});

it("reads back what it writes", () => {
  fc.assert(
    fc.property(fc.nat({ max: 3_153_600_000 }), (seconds) => {
      expect(parseHumanDuration(formatHumanDuration(seconds * 1_000))).toBe(seconds * 1_000);
    }),
  );
});
