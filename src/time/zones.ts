/** Says how far the clocks of an IANA time zone are from UTC, and when they change. */

const SECOND = 1_000;
const DAY = 86_400_000;

/** How often a year is probed for changes; since 1970 no zone has kept an offset for less than 7 days. */
const PROBE_STEP = 4 * DAY;

/** The only IANA names of three letters; Intl knows more, ambiguous ones: its BST is Dhaka. */
const SHORT_NAMES = /^(CET|EET|EST|GMT|HST|MET|MST|PRC|ROC|ROK|UCT|UTC|WET)$/;

/**
 * A stretch of time in which a zone keeps one offset: local time = instant + offset.
 * `start` (inclusive) and `end` (exclusive) are instants in epoch ms, the offset is in ms east of UTC.
 * `seen` is the local time that the clocks had reached when the span began: local times up to it come again
 * (an overlap), those between it and start + offset never come (a gap).
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

const formatters = new Map<string, Intl.DateTimeFormat>();
const changesByYear = new Map<string, readonly Change[]>();

/**
 * Whether this is the name of an IANA zone, such as `Europe/Brussels` or `UTC`.
 * Offsets (`+02:00`), ambiguous abbreviations (`IST`) and other spellings (`utc`) are not: what reads the name
 * after us, a command's libc for one, may be stricter than Intl.
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
 * year in UTC, so that nothing beyond the year being read has to be known. The first one cannot know what was
 * seen before `from`: begin early enough for an overlap that matters.
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

/** The changes, and the beginnings of years, with from < at <= until. */
function* changes(zone: string, from: number, until: number): Generator<Change> {
  const lastYear = new Date(until).getUTCFullYear();
  for (let year = new Date(from).getUTCFullYear(); year <= lastYear; year += 1) {
    for (const change of changesOf(zone, year)) {
      if (change.at > from && change.at <= until) yield change;
    }
  }
}

function changesOf(zone: string, year: number): readonly Change[] {
  const key = `${zone} ${year}`;
  const found = changesByYear.get(key) ?? findChanges(zone, year);
  changesByYear.set(key, found);
  return found;
}

/** The offset at the beginning of a year in UTC, and its changes in that year. */
function findChanges(zone: string, year: number): Change[] {
  let low = Date.UTC(year, 0);
  const end = Date.UTC(year + 1, 0);
  let offset = offsetAt(zone, low);
  const found = [{ at: low, offset }];
  while (low < end) {
    const high = Math.min(low + PROBE_STEP, end);
    if (offsetAt(zone, high) === offset) {
      low = high;
      continue;
    }
    low = firstOtherOffset(zone, low, high, offset);
    offset = offsetAt(zone, low);
    found.push({ at: low, offset });
  }
  return found;
}

/** Halves low..high down to the second at which the zone leaves `offset`. */
function firstOtherOffset(zone: string, low: number, high: number, offset: number): number {
  let [kept, left] = [low, high];
  while (left - kept > SECOND) {
    const middle = kept + Math.floor((left - kept) / 2 / SECOND) * SECOND;
    if (offsetAt(zone, middle) === offset) kept = middle;
    else left = middle;
  }
  return left;
}

/** The offset in ms at an instant, read from the `GMT+05:30` that Intl writes (historical ones have seconds). */
function offsetAt(zone: string, instant: number): number {
  const written = formatter(zone).format(instant);
  const match = /GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(written);
  if (match === null) throw new Error(`cannot read the offset of ${zone} from "${written}"`);
  const [, sign, hours, minutes, seconds = 0] = match;
  const size = (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)) * SECOND;
  return sign === "-" ? -size : size;
}

function formatter(zone: string): Intl.DateTimeFormat {
  let known = formatters.get(zone);
  if (known === undefined) {
    known = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
    formatters.set(zone, known);
  }
  return known;
}

const MINUTE = 60_000;

/** `2026-03-01T10:05:00+01:00`: local time with its offset (RFC 3339). Throws RangeError if the zone is unknown. */
export function formatLocalTime(instant: Date, zone: string): string {
  const at = instant.getTime();
  const offset = [...spans(zone, at, at)].at(-1)?.offset ?? 0;
  // RFC 3339 knows whole minutes only; offsets with seconds ended in 1972.
  const minutes = Math.round(Math.abs(offset) / MINUTE);
  const two = (value: number) => String(value).padStart(2, "0");
  const sign = offset < 0 ? "-" : "+";
  const local = new Date(at + offset).toISOString().slice(0, 19);
  return `${local}${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
