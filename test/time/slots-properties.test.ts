/** Property tests of slots against two oracles, on random expressions around clock changes. */

import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { parseCron } from "../../src/time/cron.ts";
import { countSlots, dueSlots, newestSlots, nextSlots } from "../../src/time/slots.ts";
import { compareSlots } from "../support/slot-comparison.ts";
import { anyKnownCron, slotsByWalking, wallClock } from "../support/slot-oracle.ts";

vi.setConfig({ testTimeout: 60_000 });

const HOUR = 3_600_000;

const CHANGES = [
  ["America/New_York", "2024-03-10T07:00Z"],
  ["America/New_York", "2024-11-03T06:00Z"],
  ["Europe/Brussels", "2024-03-31T01:00Z"],
  ["Europe/Brussels", "2024-10-27T01:00Z"],
  ["Australia/Lord_Howe", "2024-04-06T15:00Z"],
  ["Australia/Lord_Howe", "2024-10-05T15:30Z"],
  ["Pacific/Chatham", "2024-04-06T14:00Z"],
  ["Pacific/Chatham", "2024-09-28T14:00Z"],
  ["America/Havana", "2024-03-10T05:00Z"],
  ["America/Havana", "2024-11-03T05:00Z"],
  ["Asia/Beirut", "2024-03-30T22:00Z"],
  ["Asia/Beirut", "2024-10-26T21:00Z"],
  ["America/Sao_Paulo", "2018-11-04T03:00Z"],
  ["America/Sao_Paulo", "2019-02-17T02:00Z"],
  ["Africa/Casablanca", "2024-03-10T02:00Z"],
  ["Africa/Casablanca", "2024-04-14T02:00Z"],
  ["America/Nuuk", "2024-03-31T01:00Z"],
  ["America/Nuuk", "2024-10-27T01:00Z"],
  ["Pacific/Apia", "2011-12-30T10:00Z"],
  ["Pacific/Kwajalein", "1993-08-21T12:00Z"],
  ["America/Caracas", "2016-05-01T07:00Z"],
  ["Pacific/Kiritimati", "1994-12-31T10:00Z"],
] as const;

const aroundChange = fc
  .record({
    change: fc.constantFrom(...CHANGES),
    lead: fc.integer({ min: 0, max: 36 * HOUR }),
    length: fc.integer({ min: 0, max: 48 * HOUR }),
  })
  .map(({ change: [zone, at], lead, length }) => {
    const after = Date.parse(at) - lead;
    return { zone, after, until: after + length };
  });

const anywhere = fc
  .record({
    zone: fc.constantFrom("UTC", "Asia/Kolkata", ...CHANGES.map(([zone]) => zone)),
    after: fc.integer({ min: Date.UTC(1975, 0), max: Date.UTC(2045, 0) }),
    length: fc.integer({ min: 0, max: 48 * HOUR }),
  })
  .map(({ zone, after, length }) => ({ zone, after, until: after + length }));

const anyWindow = fc.oneof({ weight: 3, arbitrary: aroundChange }, { weight: 1, arbitrary: anywhere });
const anyCrons = fc.array(anyKnownCron, { minLength: 1, maxLength: 3 });

function slots(texts: readonly string[], zone: string, after: number, until: number): number[] {
  const crons = texts.map(parseCron);
  return dueSlots({ crons, zone, after: new Date(after), until: new Date(until) }).map(Number);
}

test("finds the same slots of one expression as a walk over the wall clock", {
  timeout: 60_000,
}, () => {
  fc.assert(
    fc.property(anyKnownCron, anyWindow, (cron, { zone, after, until }) => {
      expect(slots([cron.text], zone, after, until)).toEqual(
        slotsByWalking(cron, wallClock(zone), after, until),
      );
    }),
    { numRuns: 150 },
  );
});

test("finds the same slots as the oracle for random expressions in 11 zones from 2020 to 2035", () => {
  const { windows, slots, faults } = compareSlots(7, 12);
  expect(faults).toEqual([]);
  expect([windows, slots > windows]).toEqual([12 * 11 * 2, true]);
});

test("returns the sorted union of the slots of several expressions, without duplicates", () => {
  fc.assert(
    fc.property(anyCrons, anyWindow, (crons, { zone, after, until }) => {
      const each = crons.flatMap(({ text }) => slots([text], zone, after, until));
      const union = slots(
        crons.map(({ text }) => text),
        zone,
        after,
        until,
      );
      expect(union).toEqual([...new Set(each)].sort((a, b) => a - b));
      expect(union.every((slot) => after < slot && slot <= until)).toBe(true);
    }),
    { numRuns: 100 },
  );
});

test("finds the same slots when a window is split, also at a slot", () => {
  fc.assert(
    fc.property(
      anyKnownCron,
      anyWindow,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (cron, window, share) => {
        const { zone, after, until } = window;
        const whole = slots([cron.text], zone, after, until);
        const middle = after + Math.floor((until - after) * share);
        for (const cut of [middle, whole[Math.floor(whole.length * share)] ?? middle]) {
          const parts = [...slots([cron.text], zone, after, cut), ...slots([cron.text], zone, cut, until)];
          expect(parts).toEqual(whole);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test("finds as next slots the first due slots, one after the other", () => {
  fc.assert(
    fc.property(anyCrons, anyWindow, (known, { zone, after }) => {
      const crons = known.map(({ text }) => parseCron(text));
      const next = nextSlots({ crons, zone, after: new Date(after), count: 4 });
      expect(next).toHaveLength(4);
      let previous = new Date(after);
      for (const slot of next) {
        expect(nextSlots({ crons, zone, after: previous, count: 1 })).toEqual([slot]);
        previous = slot;
      }
      const due = dueSlots({ crons, zone, after: new Date(after), until: previous, limit: 3 });
      expect(due).toEqual(next.slice(0, 3));
    }),
    { numRuns: 100 },
  );
});

test("counts and keeps the newest of the slots that it finds", { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(
      anyCrons,
      anyWindow,
      fc.integer({ min: 1, max: 50 }),
      (crons, { zone, after, until }, count) => {
        const texts = crons.map((cron) => cron.text);
        const all = slots(texts, zone, after, until);
        const query = { crons: texts.map(parseCron), zone, after: new Date(after), until: new Date(until) };
        expect(countSlots(query)).toBe(all.length);
        expect(newestSlots({ ...query, count }).map(Number)).toEqual(all.slice(-count));
      },
    ),
    { numRuns: 150 },
  );
});

test("counts the slots of a year of seconds without walking them", () => {
  const query = { crons: [parseCron("* * * * * *")], zone: "Europe/Brussels" };
  const [after, until] = [new Date("2023-12-31T23:59:59Z"), new Date("2024-12-31T23:59:59Z")];
  expect(countSlots({ ...query, after, until })).toBe(366 * 86_400);
});
