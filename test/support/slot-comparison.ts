/** Compares slots with the oracle: random expressions in 11 zones from 2020 to 2035, anywhere and where clocks change. */
import fc from "fast-check";
import { parseCron } from "../../src/core/cron.ts";
import { dueSlots, nextSlots } from "../../src/core/slots.ts";
import { anyKnownCron, type KnownCron, slotsByWalking, wallClock } from "./slot-oracle.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const FROM = Date.UTC(2020, 0);
const UNTIL = Date.UTC(2036, 0);
const WINDOW = 2 * DAY;

/** Shifts of an hour, of half an hour and of two; at midnight; twice more in Ramadan; half and quarter offsets; none. */
export const ZONES = [
  "America/New_York",
  "Europe/Brussels",
  "Australia/Lord_Howe",
  "Pacific/Chatham",
  "America/Havana",
  "America/Santiago",
  "Africa/Casablanca",
  "Antarctica/Troll",
  "America/St_Johns",
  "Asia/Tehran",
  "Asia/Kolkata",
] as const;

export interface Comparison {
  windows: number;
  slots: number;
  /** What differed, in words. */
  faults: string[];
}

/** @param seed decides the expressions and the windows; each expression has two windows in each zone */
export function compareSlots(seed: number, expressions: number): Comparison {
  const result: Comparison = { windows: 0, slots: 0, faults: [] };
  const crons = fc.sample(anyKnownCron, { seed, numRuns: expressions });
  const places = fc.sample(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), {
    seed,
    numRuns: expressions * 3,
  });
  for (const zone of ZONES) {
    const clock = rememberingClock(zone);
    const changes = changesOf(zone);
    for (const [index, cron] of crons.entries()) {
      const [where = 0, which = 0, lead = 0] = places.slice(index * 3, index * 3 + 3);
      const anywhere = FROM + Math.floor(where * (UNTIL - FROM - WINDOW));
      const change = changes[Math.floor(which * changes.length)];
      const around = change === undefined ? FROM + Math.floor(which * DAY) : change - Math.floor(lead * 36 * HOUR);
      for (const after of [anywhere, around]) compareWindow(cron, zone, clock, after, result);
    }
  }
  return result;
}

function compareWindow(
  cron: KnownCron,
  zone: string,
  clock: (instant: number) => number,
  from: number,
  result: Comparison,
): void {
  const [after, until] = [new Date(from), new Date(from + WINDOW)];
  const query = { crons: [parseCron(cron.text)], zone, after };
  const slots = dueSlots({ ...query, until }).map(Number);
  const known = slotsByWalking(cron, clock, from, from + WINDOW);
  const next = nextSlots({ ...query, count: 3 }).map(Number);
  result.windows += 1;
  result.slots += slots.length;
  const fault = (what: string) => result.faults.push(`"${cron.text}" in ${zone} after ${after.toISOString()}: ${what}`);
  if (slots.join() !== known.join()) fault(`${slots.length} slots, and the oracle has ${known.length}`);
  if ([from, ...next].some((slot, index, all) => index > 0 && slot <= Number(all[index - 1]))) {
    fault("the next slots do not ascend");
  }
  const within = next.filter((slot) => slot <= until.getTime());
  if (next.length !== 3 || within.join() !== known.slice(0, 3).join()) fault("the next slots are others");
}

/** The wall clock of a zone, read once for each minute. */
function rememberingClock(zone: string): (instant: number) => number {
  const read = wallClock(zone);
  const start = FROM - DAY;
  const unread = -32_768;
  const offsets = new Int16Array((UNTIL - start) / MINUTE).fill(unread);
  return (instant) => {
    const minute = (instant - start) / MINUTE;
    if (offsets[minute] === unread) offsets[minute] = (read(instant) - instant) / MINUTE;
    return instant + (offsets[minute] ?? Number.NaN) * MINUTE;
  };
}

/** The hours in which a zone changes its clocks, by looking at each. */
function changesOf(zone: string): number[] {
  const read = wallClock(zone);
  const changes: number[] = [];
  let offset = read(FROM) - FROM;
  for (let hour = FROM; hour < UNTIL - WINDOW; hour += 6 * HOUR) {
    const now = read(hour) - hour;
    if (now !== offset) changes.push(hour);
    offset = now;
  }
  return changes;
}
