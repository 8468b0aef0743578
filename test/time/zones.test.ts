/** Tests of time zones: their names, the spans between clock changes, and local times. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatLocalTime, isTimeZone, spans } from "../../src/time/zones.ts";

test.each(["UTC", "GMT", "CET", "Europe/Brussels", "Asia/Kolkata", "US/Eastern", "EST5EDT", "Etc/GMT+5"])(
  "%s is a zone",
  (name) => {
    expect(isTimeZone(name)).toBe(true);
  },
);

test.each([
  "",
  "+02:00",
  "GMT+1",
  "utc",
  "europe/brussels",
  "EUROPE/BRUSSELS",
  "IST",
  "BST",
  "Mars/Base",
  "Local",
])("does not accept %j as a zone", (name) => {
  expect(isTimeZone(name)).toBe(false);
});

test.each([
  ["America/New_York", 2024, ["2024-03-10T07:00:00.000Z", "2024-11-03T06:00:00.000Z"]],
  [
    "America/Noronha",
    2000,
    ["2000-02-27T01:00:00.000Z", "2000-10-08T02:00:00.000Z", "2000-10-15T01:00:00.000Z"],
  ],
  ["Africa/Monrovia", 1972, ["1972-01-07T00:44:30.000Z"]],
  ["Asia/Kolkata", 2024, []],
])("finds the clock changes of %s in %i to the second", (zone, year, expected) => {
  const [, ...changed] = [...spans(zone, Date.UTC(year, 0), Date.UTC(year + 1, 0) - 1)];
  expect(changed.map(({ start }) => new Date(start).toISOString())).toEqual(expected);
});

test("spans follow each other without gaps, also across years, and mark the repeated hour", () => {
  const from = Date.UTC(2023, 5);
  const until = Date.UTC(2025, 5);
  const all = [...spans("Europe/Brussels", from, until)];
  expect(all.map(({ start }) => start)).toEqual([from, ...all.slice(0, -1).map(({ end }) => end)]);
  expect(all.at(-1)?.end).toBe(until + 1);
  const jumps = all.map(({ start, offset, seen }) => (start + offset - seen) / 3_600_000);
  expect(jumps).toEqual([0, -1, 0, 1, -1, 0, 1]);
});

test.each([
  ["2026-03-29T00:59:59Z", "Europe/Brussels", "2026-03-29T01:59:59+01:00"],
  ["2026-03-29T01:00:00Z", "Europe/Brussels", "2026-03-29T03:00:00+02:00"],
  ["2026-07-01T00:00:00Z", "America/St_Johns", "2026-06-30T21:30:00-02:30"],
  ["2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:00:00+00:00"],
])("%s in %s is %s", (instant, zone, local) => {
  expect(formatLocalTime(new Date(instant), zone)).toBe(local);
});

test("local time names the same instant in any zone", () => {
  const second = fc.integer({ min: 946_684_800, max: 4_102_444_800 });
  fc.assert(
    fc.property(second, fc.constantFrom(...Intl.supportedValuesOf("timeZone")), (seconds, zone) => {
      expect(new Date(formatLocalTime(new Date(seconds * 1_000), zone)).getTime()).toBe(seconds * 1_000);
    }),
  );
});
