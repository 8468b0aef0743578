/** Computes the slots of cron expressions in a time zone, as a pure function of the two ends of a window. */

import { isDueOn } from "./calendar.ts";
import type { Cron } from "./cron.ts";
import { spans } from "./zones.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 86_400_000;

/** The longest wait of any expression: a fifth Monday of February, across the year 2100, takes 40 years. */
const HORIZON = 41 * 366 * DAY;

/** The expressions of a job, the IANA zone in which they are read, and the instant after which slots count. */
export interface SlotQuery {
  crons: readonly Cron[];
  zone: string;
  after: Date;
}

type Window = SlotQuery & { until: Date };

/**
 * Returns the slots with after < slot <= until of all expressions together: distinct, ascending, at most `limit`.
 *
 * A fixed-time expression is due once on every local day it names, also when clocks change: a time that the clocks
 * skip is due at the first instant after the gap, and a time that comes twice is due the first time only. A date
 * that a zone skips (Apia, 2011-12-30) is not a local day. All other expressions follow elapsed time: they are due in
 * both passes of a repeated hour and never in a skipped one. This is Debian's rule (cron(8)).
 *
 * @throws RangeError if the zone is unknown
 */
export function dueSlots({
  limit = Number.POSITIVE_INFINITY,
  ...query
}: Window & { limit?: number }): Date[] {
  const stream = streamOf(query);
  const slots: Date[] = [];
  while (slots.length < limit) {
    const next = stream.next();
    if (next.done) break;
    slots.push(new Date(next.value));
  }
  return slots;
}

/** Returns the newest `count` slots of a window, ascending. Throws as {@link dueSlots}. */
export function newestSlots({ count, ...query }: Window & { count: number }): Date[] {
  const earliest = query.after.getTime();
  for (let reach = HOUR; ; reach *= 4) {
    const after = Math.max(earliest, query.until.getTime() - reach);
    const slots = dueSlots({ ...query, after: new Date(after) });
    if (slots.length >= count || after === earliest) return slots.slice(-count);
  }
}

/**
 * Returns how many slots a window has. It multiplies whole days instead of walking them, so that a year of a job that
 * runs each second takes no time; only several expressions together are walked. Throws as {@link dueSlots}.
 */
export function countSlots(query: Window): number {
  const [cron, ...others] = query.crons;
  if (cron !== undefined && others.length === 0) {
    return countOf(cron, query.zone, query.after.getTime(), query.until.getTime());
  }
  let count = 0;
  for (const _ of streamOf(query)) count += 1;
  return count;
}

/**
 * Returns the next `count` slots after an instant, by the rules of {@link dueSlots}; fewer only if the next 41 years
 * have no more.
 *
 * @throws RangeError if the zone is unknown
 */
export function nextSlots({ count, ...query }: SlotQuery & { count: number }): Date[] {
  return dueSlots({ ...query, until: new Date(query.after.getTime() + HORIZON), limit: count });
}

/** The slots of a query up to `until`, strictly ascending, in epoch ms. */
function streamOf({ crons, zone, after, until }: Window): Generator<number, undefined> {
  const [first, ...others] = crons.map((cron) => slotsOf(cron, zone, after.getTime(), until.getTime()));
  if (first === undefined) return union([]);
  return others.length === 0 ? distinct(first) : union([first, ...others]);
}

/** Removes repetitions from an ascending stream. */
function* distinct(stream: Generator<number, undefined>): Generator<number, undefined> {
  let last = Number.NEGATIVE_INFINITY;
  for (const slot of stream) {
    if (slot > last) yield slot;
    last = slot;
  }
}

/** Merges ascending streams into one that is strictly ascending. */
function* union(streams: readonly Iterator<number, undefined>[]): Generator<number, undefined> {
  const heads = streams.map((stream) => ({ stream, next: stream.next() }));
  for (;;) {
    const lowest = Math.min(...heads.map(({ next }) => next.value ?? Number.POSITIVE_INFINITY));
    if (lowest === Number.POSITIVE_INFINITY) return;
    yield lowest;
    for (const head of heads) {
      while (head.next.value === lowest) head.next = head.stream.next();
    }
  }
}

/** The slots of one expression with after < slot <= until, ascending, in epoch ms; one may come twice. */
function* slotsOf(cron: Cron, zone: string, after: number, until: number): Generator<number, undefined> {
  // Start a day earlier: an overlap may have begun before the window.
  for (const { start, end, offset, seen } of spans(zone, after - DAY, until)) {
    let first = Math.max(start, after + 1) + offset;
    if (cron.fixedTime) {
      if (start > after && isDueInGap(cron, seen, start + offset)) yield start;
      first = Math.max(first, seen);
    }
    for (const local of localTimes(cron, first, end + offset)) yield local - offset;
  }
}

/** How many slots {@link slotsOf} has, each counted once. */
function countOf(cron: Cron, zone: string, after: number, until: number): number {
  let count = 0;
  for (const { start, end, offset, seen } of spans(zone, after - DAY, until)) {
    const local = start + offset;
    let first = Math.max(start, after + 1) + offset;
    if (cron.fixedTime) {
      const isRepeated = countLocalTimes(cron, local, local + 1) > 0;
      if (start > after && !isRepeated && isDueInGap(cron, seen, local)) count += 1;
      first = Math.max(first, seen);
    }
    count += countLocalTimes(cron, first, end + offset);
  }
  return count;
}

/** Whether a local time in the gap from <= time < to is due, on a date that the gap does not skip altogether. */
function isDueInGap(cron: Cron, from: number, to: number): boolean {
  for (const local of localTimes(cron, from, to)) {
    const day = startOfDay(local);
    if (day < from || day + DAY > to) return true;
  }
  return false;
}

/** The local times that the fields name with from <= time < to, written as if local time were UTC. */
function* localTimes(cron: Cron, from: number, to: number): Generator<number> {
  for (let day = startOfDay(from); day < to; day += DAY) {
    if (!isDueOn(cron, new Date(day))) continue;
    for (const time of timesOfDay(cron, day, from)) {
      if (time >= to) return;
      yield time;
    }
  }
}

/** How many local times {@link localTimes} has. */
function countLocalTimes(cron: Cron, from: number, to: number): number {
  const timesADay = cron.hours.length * cron.minutes.length * cron.seconds.length;
  let count = 0;
  for (let day = startOfDay(from); day < to; day += DAY) {
    if (day >= from && day + DAY <= to) {
      if (isDueOn(cron, new Date(day))) count += timesADay;
    } else {
      for (const _ of localTimes(cron, Math.max(day, from), Math.min(day + DAY, to))) count += 1;
    }
  }
  return count;
}

function* timesOfDay(cron: Cron, day: number, from: number): Generator<number> {
  for (const hour of cron.hours) {
    const hourStart = day + hour * HOUR;
    if (hourStart + HOUR <= from) continue;
    for (const minute of cron.minutes) {
      const minuteStart = hourStart + minute * MINUTE;
      if (minuteStart + MINUTE <= from) continue;
      for (const second of cron.seconds) {
        const time = minuteStart + second * SECOND;
        if (time >= from) yield time;
      }
    }
  }
}

function startOfDay(local: number): number {
  return Math.floor(local / DAY) * DAY;
}
