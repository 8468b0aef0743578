/** Remembered slots are those that would be computed, whichever way the clock goes. */
import { expect, it } from "vitest";
import { parseCron } from "../../src/time/cron.ts";
import { knownNextSlots } from "../../src/time/known-slots.ts";
import { nextSlots } from "../../src/time/slots.ts";

const MINUTE = 60_000;
const SLOT = Date.parse("2026-03-29T01:00:00Z");

it.each([
  { crons: ["0 * * * *"], zone: "UTC", count: 3 },
  { crons: ["30 2 * * *", "*/15 1-3 * * *"], zone: "Europe/Brussels", count: 3 },
  { crons: ["30 2 * * *", "*/15 1-3 * * *"], zone: "Europe/Brussels", count: 1 },
  { crons: ["0 0 29 2 1"], zone: "America/New_York", count: 2 },
  { crons: [], zone: "UTC", count: 3 },
])("of $crons in $zone are the next $count", ({ crons, zone, count }) => {
  // Up to a slot, on it, past it, and back again.
  for (const ms of [-1, 0, 1, MINUTE, 61 * MINUTE, -61 * MINUTE, -1, 0]) {
    const after = new Date(SLOT + ms);
    expect(knownNextSlots({ crons, zone, after, count })).toEqual(
      nextSlots({ crons: crons.map(parseCron), zone, after, count }),
    );
  }
});

it("belong to the caller, who may change them", () => {
  const query = { crons: ["0 0 1 1 *"], zone: "UTC", after: new Date(SLOT), count: 1 };
  knownNextSlots(query)[0]?.setTime(0);
  expect(knownNextSlots(query)[0]).toEqual(new Date("2027-01-01T00:00:00Z"));
});
