/** Long durations in words, `30 days` or `1 hour and 30 minutes`, as the retention of a cheek file has them. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** All spellings of each unit; a month is 30 days and a year is 365. */
const UNITS: ReadonlyMap<string, number> = new Map([
  ...spelled(SECOND, "s", "sec", "secs", "second", "seconds"),
  ...spelled(MINUTE, "m", "min", "mins", "minute", "minutes"),
  ...spelled(HOUR, "h", "hr", "hrs", "hour", "hours"),
  ...spelled(DAY, "d", "day", "days"),
  ...spelled(7 * DAY, "w", "week", "weeks"),
  ...spelled(30 * DAY, "mo", "month", "months"),
  ...spelled(365 * DAY, "y", "year", "years"),
]);

/** What a duration is written in again, largest first: units of which each is a whole number of the next. */
const WRITTEN: readonly (readonly [unit: string, ms: number])[] = [
  ["day", DAY],
  ["hour", HOUR],
  ["minute", MINUTE],
  ["second", SECOND],
];

const MAX_LENGTH = 100;
const FORM = /^\d+ ?[a-z]+(?:(?:, ?| and |, and | )?\d+ ?[a-z]+)*$/;
const PART = /(?<!\d)(\d+) ?([a-z]+)/g;

/** Milliseconds of a duration such as `30 days`, `2 weeks`, `1 hour and 30 minutes` or `12h`; undefined when it is none. */
export function parseHumanDuration(text: string): number | undefined {
  const words = text.trim().toLowerCase().replaceAll(/\s+/g, " ");
  if (words.length > MAX_LENGTH || !FORM.test(words)) return undefined;
  let total = 0;
  for (const [, count, unit = ""] of words.matchAll(PART))
    total += Number(count) * (UNITS.get(unit) ?? Number.NaN);
  return Number.isSafeInteger(total) ? total : undefined;
}

/** The one text for a duration in whole seconds: `30 days`, `1 hour and 30 minutes`; `parseHumanDuration` reads it back. */
export function formatHumanDuration(ms: number): string {
  let rest = ms;
  const parts: string[] = [];
  for (const [unit, size] of WRITTEN) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count} ${unit}${count === 1 ? "" : "s"}`);
    rest -= count * size;
  }
  return parts.length === 0 ? "0 seconds" : parts.join(" and ");
}

function spelled(ms: number, ...names: string[]): [string, number][] {
  return names.map((name) => [name, ms]);
}
