/** Durations as people write them, `90s`, `1h30m` or `30 days`, to and from milliseconds. */

const UNITS: readonly (readonly [unit: string, ms: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
];
const FORM = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;

/** Milliseconds of a duration such as `500ms`, `5s`, `10m`, `1h30m` or `1d`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const match = text.length > 0 && text.length <= 40 ? FORM.exec(text) : null;
  if (match === null) return undefined;
  const total = UNITS.reduce((sum, [, ms], i) => sum + Number(match[i + 1] ?? 0) * ms, 0);
  return Number.isSafeInteger(total) ? total : undefined;
}

/** A duration in whole milliseconds, largest units first (`1m30s`); `parseDuration` reads it back. */
export function formatDuration(ms: number): string {
  let rest = ms;
  let text = "";
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text || "0s";
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** All spellings of each unit; a month is 30 days and a year is 365. */
const WORDS: ReadonlyMap<string, number> = new Map([
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

const MAX_WORDS_LENGTH = 100;
const WORDS_FORM = /^\d+ ?[a-z]+(?:(?:, ?| and |, and | )?\d+ ?[a-z]+)*$/;
const PART = /(?<!\d)(\d+) ?([a-z]+)/g;

/** Milliseconds of a duration such as `30 days`, `2 weeks`, `1 hour and 30 minutes` or `12h`; undefined when it is none. */
export function parseHumanDuration(text: string): number | undefined {
  const words = text.trim().toLowerCase().replaceAll(/\s+/g, " ");
  if (words.length > MAX_WORDS_LENGTH || !WORDS_FORM.test(words)) return undefined;
  let total = 0;
  for (const [, count, unit = ""] of words.matchAll(PART))
    total += Number(count) * (WORDS.get(unit) ?? Number.NaN);
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
