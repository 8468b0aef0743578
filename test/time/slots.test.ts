/** Tests of slots: ordinary days, every kind of clock change, and rare dates. */

import { describe, expect, test } from "vitest";
import { parseCron } from "../../src/time/cron.ts";
import { dueSlots, nextSlots } from "../../src/time/slots.ts";

function due(crons: string[], zone: string, after: string, until: string, limit?: number): string[] {
  const query = { crons: crons.map(parseCron), zone, after: new Date(after), until: new Date(until) };
  const slots = dueSlots(limit === undefined ? query : { ...query, limit });
  return slots.map((slot) => slot.toISOString().replace(":00.000Z", "Z"));
}

function next(cron: string, zone: string, after: string, count: number): string[] {
  const slots = nextSlots({ crons: [parseCron(cron)], zone, after: new Date(after), count });
  return slots.map((slot) => slot.toISOString().slice(0, "2024-02-29".length));
}

describe("a window", () => {
  test("excludes its start and includes its end", () => {
    expect(due(["*/5 * * * *"], "UTC", "2024-01-01T00:00Z", "2024-01-01T00:10Z")).toEqual([
      "2024-01-01T00:05Z",
      "2024-01-01T00:10Z",
    ]);
  });

  test("may start within a second", () => {
    expect(due(["@everysecond"], "UTC", "2024-01-01T00:00:00.999Z", "2024-01-01T00:00:02.001Z")).toEqual([
      "2024-01-01T00:00:01.000Z",
      "2024-01-01T00:00:02.000Z",
    ]);
  });

  test("that ends before it starts is empty", () => {
    expect(due(["* * * * *"], "UTC", "2024-01-02T00:00Z", "2024-01-01T00:00Z")).toEqual([]);
  });

  test("contains an instant of two expressions once, and at most `limit` slots", () => {
    const crons = ["0 * * * *", "*/30 * * * *"];
    const all = ["2024-01-01T00:30Z", "2024-01-01T01:00Z", "2024-01-01T01:30Z"];
    expect(due(crons, "UTC", "2024-01-01T00:00Z", "2024-01-01T01:59Z")).toEqual(all);
    expect(due(crons, "UTC", "2024-01-01T00:00Z", "2024-01-01T01:59Z", 2)).toEqual(all.slice(0, 2));
    expect(due(crons, "UTC", "2024-01-01T00:00Z", "2024-01-01T01:59Z", 0)).toEqual([]);
  });
});

describe("a fixed time", () => {
  test.each([
    ["30 2 * * *", "America/New_York", "2024-03-10", ["2024-03-10T07:00Z", "2024-03-11T06:30Z"]],
    ["30 1 * * *", "America/New_York", "2024-11-03", ["2024-11-03T05:30Z", "2024-11-04T06:30Z"]],
    ["30 2 * * *", "Europe/Brussels", "2024-03-30T12:00Z", ["2024-03-31T01:00Z", "2024-04-01T00:30Z"]],
    ["30 2 * * *", "Europe/Brussels", "2024-10-26T12:00Z", ["2024-10-27T00:30Z", "2024-10-28T01:30Z"]],
    ["15 2 * * *", "Australia/Lord_Howe", "2024-10-05", ["2024-10-05T15:30Z", "2024-10-06T15:15Z"]],
    ["45 1 * * *", "Australia/Lord_Howe", "2024-04-06", ["2024-04-06T14:45Z", "2024-04-07T15:15Z"]],
    ["0 3 * * *", "Pacific/Chatham", "2024-09-28", ["2024-09-28T14:00Z", "2024-09-29T13:15Z"]],
    ["0 3 * * *", "Pacific/Chatham", "2024-04-06", ["2024-04-06T13:15Z", "2024-04-07T14:15Z"]],
    ["0 0 * * *", "America/Havana", "2024-03-10", ["2024-03-10T05:00Z", "2024-03-11T04:00Z"]],
    ["30 0 * * *", "America/Havana", "2024-11-03", ["2024-11-03T04:30Z", "2024-11-04T05:30Z"]],
    ["0 0 * * *", "Asia/Beirut", "2024-03-30", ["2024-03-30T22:00Z", "2024-03-31T21:00Z"]],
    ["0 0 * * *", "America/Sao_Paulo", "2018-11-04", ["2018-11-04T03:00Z", "2018-11-05T02:00Z"]],
    ["30 2 * * *", "Africa/Casablanca", "2024-03-10", ["2024-03-10T01:30Z", "2024-03-11T02:30Z"]],
    ["30 2 * * *", "Africa/Casablanca", "2024-04-14", ["2024-04-14T02:00Z", "2024-04-15T01:30Z"]],
    ["30 2 * * *", "Asia/Kolkata", "2024-03-10", ["2024-03-10T21:00Z", "2024-03-11T21:00Z"]],
    ["30 23 * * 6", "America/Nuuk", "2024-03-30T12:00Z", ["2024-03-31T01:00Z"]],
  ])("%s in %s is due once on the local day after %s", (cron, zone, after, expected) => {
    const begin = new Date(after);
    const until = new Date(begin.getTime() + 48 * 3_600_000);
    expect(due([cron], zone, begin.toISOString(), until.toISOString())).toEqual(expected);
  });

  test("is due once together with others that fall into the same gap", () => {
    const crons = ["0,15,30 2,3 * * *", "45 2 10 3 *", "0 3 * * *"];
    expect(due(crons, "America/New_York", "2024-03-10T06:00Z", "2024-03-10T08:00Z")).toEqual([
      "2024-03-10T07:00Z",
      "2024-03-10T07:15Z",
      "2024-03-10T07:30Z",
    ]);
  });

  test("is not due on a date that the zone skips", () => {
    expect(due(["0 9 * * *"], "Pacific/Apia", "2011-12-29T12:00Z", "2012-01-01T00:00Z")).toEqual([
      "2011-12-29T19:00Z",
      "2011-12-30T19:00Z",
      "2011-12-31T19:00Z",
    ]);
  });

  test("in a repeated hour is due once, also when the window starts inside the repetition", () => {
    expect(due(["30 1 * * *"], "America/New_York", "2024-11-03T06:10Z", "2024-11-03T12:00Z")).toEqual([]);
  });
});

describe("an interval follows elapsed time", () => {
  test.each([
    [
      "*/30 1 * * *",
      "2024-11-03T04:00Z",
      ["2024-11-03T05:00Z", "2024-11-03T05:30Z", "2024-11-03T06:00Z", "2024-11-03T06:30Z"],
    ],
    ["30 * * * *", "2024-11-03T05:00Z", ["2024-11-03T05:30Z", "2024-11-03T06:30Z", "2024-11-03T07:30Z"]],
    ["0-59 0-23 * * *", "2024-11-03T05:58Z", ["2024-11-03T05:59Z", "2024-11-03T06:00Z", "2024-11-03T06:01Z"]],
    ["30 * * * *", "2024-03-10T06:00Z", ["2024-03-10T06:30Z", "2024-03-10T07:30Z", "2024-03-10T08:30Z"]],
    ["*/15 2 * * *", "2024-03-10T06:00Z", ["2024-03-11T06:00Z", "2024-03-11T06:15Z"]],
  ])("finds the slots of %s after %s in New York", (cron, after, expected) => {
    expect(due([cron], "America/New_York", after, "2024-12-01T00:00Z", expected.length)).toEqual(expected);
  });
});

describe("dates", () => {
  test.each([
    ["0 0 29 2 *", "2096-03-01", ["2104-02-29", "2108-02-29"]],
    ["0 0 29 2 1", "2024-02-20", ["2024-02-26", "2024-02-29", "2025-02-03"]],
    ["0 0 * 2 1#5", "2016-03-01", ["2044-02-29"]],
    ["0 0 * 2 1#5", "2072-03-01", ["2112-02-29"]],
    [
      "0 0 13 * 5",
      "2024-09-10",
      ["2024-09-13", "2024-09-20", "2024-09-27", "2024-10-04", "2024-10-11", "2024-10-13"],
    ],
    ["0 0 */2 * 1", "2024-01-01", ["2024-01-15", "2024-01-29"]],
    ["0 0 L * *", "2024-01-31", ["2024-02-29", "2024-03-31"]],
    ["0 0 L-3 * *", "2024-02-01", ["2024-02-26", "2024-03-28"]],
    ["0 0 LW * *", "2024-03-01", ["2024-03-29", "2024-04-30"]],
    ["0 0 1W * *", "2024-05-31", ["2024-06-03", "2024-07-01"]],
    ["0 0 31W * *", "2024-03-01", ["2024-03-29", "2024-05-31"]],
    ["0 0 * * 5#2", "2024-01-01", ["2024-01-12", "2024-02-09"]],
    ["0 0 * * 7L", "2024-01-28", ["2024-02-25", "2024-03-31"]],
  ])("finds the slots of %s after %s", (cron, after, expected) => {
    expect(next(cron, "UTC", after, expected.length)).toEqual(expected);
  });

  test("are searched for 41 years", () => {
    expect(next("0 0 * 2 1#5", "UTC", "2072-03-01", 2)).toEqual(["2112-02-29"]);
  });
});

test("throws a RangeError for an unknown zone", () => {
  expect(() => due(["* * * * *"], "Europe/Nowhere", "2024-01-01", "2024-01-02")).toThrow(RangeError);
});
