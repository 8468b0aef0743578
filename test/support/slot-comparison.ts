/** Compares slots with the oracle: random expressions in 11 zones from 2020 to 2035, anywhere and where clocks change. */
import fc from "fast-check";
import { randomFrom } from "../../scripts/reliability/campaign.ts";
import { parseCron } from "../../src/time/cron.ts";
import { dueSlots, nextSlots } from "../../src/time/slots.ts";
import { anyKnownCron, type KnownCron, slotsByWalking, wallClock } from "./slot-oracle.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const FROM = Date.UTC(2020, 0);
const UNTIL = Date.UTC(2036, 0);
const WINDOW = 2 * DAY;
/** How often a zone is looked at for changes. */
const STEP = 6 * HOUR;

/** Shifts of an hour, of half an hour and of two; at midnight; twice more in Ramadan; half and quarter offsets; none. */
const ZONES = [
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
  const random = randomFrom(seed);
  const anywhere = () => FROM + Math.floor(random() * (UNTIL - FROM - WINDOW));
  for (const zone of ZONES) {
    const { clock, changes } = placeOf(zone);
    for (const cron of crons) {
      const change = changes[Math.floor(random() * changes.length)];
      const around = change === undefined ? anywhere() : change - STEP - Math.floor(random() * 36 * HOUR);
      for (const after of [anywhere(), around]) compareWindow(cron, zone, clock, after, result);
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
  const fault = (what: string) =>
    result.faults.push(`"${cron.text}" in ${zone} after ${after.toISOString()}: ${what}`);
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

/** When the clocks of a zone had changed, at most one step before. */
function changesOf(read: (instant: number) => number): number[] {
  const changes: number[] = [];
  let offset = read(FROM) - FROM;
  for (let instant = FROM; instant < UNTIL - WINDOW; instant += STEP) {
    const now = read(instant) - instant;
    if (now !== offset) changes.push(instant);
    offset = now;
  }
  return changes;
}

interface Place {
  clock: (instant: number) => number;
  changes: number[];
}

const places = new Map<string, Place>();

function placeOf(zone: string): Place {
  const known = places.get(zone);
  if (known !== undefined) return known;
  const clock = rememberingClock(zone);
  const place = { clock, changes: changesOf(clock) };
  places.set(zone, place);
  return place;
}
