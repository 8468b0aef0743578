/** Says which time zones exist, how far their clocks are from UTC, and when they change. */
import { Temporal } from "temporal-polyfill";

/** The only IANA names of three letters. Intl accepts more, ambiguous ones: its BST is Dhaka. */
const SHORT_NAMES = /^(CET|EET|EST|GMT|HST|MET|MST|PRC|ROC|ROK|UCT|UTC|WET)$/;

/**
 * A stretch of time in which a zone keeps one offset: local time = instant + offset.
 * `start` (inclusive) and `end` (exclusive) are instants in epoch ms, the offset is in ms east of UTC.
 * `seen` is the latest local time that the clocks had shown when the span began: local times before it come again
 * (an overlap), and those between it and start + offset never come (a gap).
 */
export interface Span {
  start: number;
  end: number;
  offset: number;
  seen: number;
}

/** From `at` on the zone has this offset. */
interface Change {
  at: number;
  offset: number;
}

const changesByYear = new Map<string, readonly Change[]>();

/**
 * Whether this is the name of an IANA zone, such as `Europe/Brussels` or `UTC`.
 * Offsets (`+02:00`), ambiguous abbreviations (`IST`) and other spellings (`utc`) are not: other readers of the
 * name, such as a command's libc, may be stricter than Intl.
 */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Z]/.test(name) || (/^[A-Z]{3}$/.test(name) && !SHORT_NAMES.test(name))) return false;
  try {
    const known = new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
    return known === name || known.toLowerCase() !== name.toLowerCase();
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/**
 * The spans of a zone that cover `from` to `until` (epoch ms, both inclusive), in order. A span also ends with the
 * year in UTC: a reader that stops early then pays for no later year. The first span does not know what was seen
 * before `from`: start early enough to include an overlap that matters.
 *
 * @throws RangeError if the zone is unknown
 */
export function* spans(zone: string, from: number, until: number): Generator<Span> {
  let start = from;
  let offset = offsetAt(zone, from);
  let seen = start + offset;
  for (const change of changes(zone, from, until)) {
    yield { start, end: change.at, offset, seen };
    seen = Math.max(seen, change.at + offset);
    start = change.at;
    offset = change.offset;
  }
  yield { start, end: until + 1, offset, seen };
}

/** `2026-03-01T10:05:00+01:00`: local time with its offset (RFC 3339). Throws RangeError if the zone is unknown. */
export function formatLocalTime(instant: Date, zone: string): string {
  return inZone(instant.getTime(), zone).toString({ smallestUnit: "second", timeZoneName: "never" });
}

/** The changes, and the beginnings of years, with from < at <= until. */
function* changes(zone: string, from: number, until: number): Generator<Change> {
  const lastYear = yearOf(until);
  for (let year = yearOf(from); year <= lastYear; year += 1) {
    for (const change of changesOf(zone, year)) {
      if (change.at > from && change.at <= until) yield change;
    }
  }
}

function offsetAt(zone: string, instant: number): number {
  return changesOf(zone, yearOf(instant)).findLast(({ at }) => at <= instant)?.offset ?? 0;
}

/** The beginning of a year in UTC, and the changes in that year. Temporal finds them slowly, so they are cached. */
function changesOf(zone: string, year: number): readonly Change[] {
  const key = `${zone} ${year}`;
  const found = changesByYear.get(key) ?? findChanges(zone, year);
  changesByYear.set(key, found);
  return found;
}

function findChanges(zone: string, year: number): Change[] {
  const end = Date.UTC(year + 1, 0);
  const found: Change[] = [];
  let now: Temporal.ZonedDateTime | null = inZone(Date.UTC(year, 0), zone);
  while (now !== null && now.epochMilliseconds < end) {
    found.push({ at: now.epochMilliseconds, offset: now.offsetNanoseconds / 1_000_000 });
    now = now.getTimeZoneTransition("next");
  }
  return found;
}

function inZone(instant: number, zone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(zone);
}

function yearOf(instant: number): number {
  return new Date(instant).getUTCFullYear();
}
