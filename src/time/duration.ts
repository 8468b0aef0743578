/** Reads and writes durations such as `90s`, `1h30m`, `30 days` or `1 hour and 30 minutes`. */

/** Each unit with its size in ms and all its spellings; the first is the short one, the second the word. */
const UNITS: readonly {
  ms: number;
  spellings: readonly [short: string, word: string, ...others: string[]];
}[] = [
  // A month is 30 days and a year is 365.
  { ms: 31_536_000_000, spellings: ["y", "year", "years"] },
  { ms: 2_592_000_000, spellings: ["mo", "month", "months"] },
  { ms: 604_800_000, spellings: ["w", "week", "weeks"] },
  { ms: 86_400_000, spellings: ["d", "day", "days"] },
  { ms: 3_600_000, spellings: ["h", "hour", "hours", "hr", "hrs"] },
  { ms: 60_000, spellings: ["m", "minute", "minutes", "min", "mins"] },
  { ms: 1_000, spellings: ["s", "second", "seconds", "sec", "secs"] },
  { ms: 1, spellings: ["ms", "millisecond", "milliseconds"] },
];

const SIZES: ReadonlyMap<string, number> = new Map(
  UNITS.flatMap(({ ms, spellings }) => spellings.map((spelling) => [spelling, ms])),
);

/** Days are the largest unit that is written: longer ones have no fixed length in a calendar. */
const WRITTEN = UNITS.slice(UNITS.findIndex(({ spellings: [short] }) => short === "d"));

const MAX_LENGTH = 100;
const FORM = /^\d{1,16} ?[a-z]+(?:(?:, ?| and |, and | )?\d{1,16} ?[a-z]+)*$/;
const PART = /(?<!\d)(\d+) ?([a-z]+)/g;

/**
 * Milliseconds of a duration, or undefined if the text is not one. The units are in lower case, largest first, and
 * each appears once.
 */
export function parseDuration(text: string): number | undefined {
  if (text.length > MAX_LENGTH || !FORM.test(text)) return undefined;
  let total = 0;
  let lastSize = Number.POSITIVE_INFINITY;
  for (const [, count, unit = ""] of text.matchAll(PART)) {
    const size = SIZES.get(unit);
    if (size === undefined || size >= lastSize) return undefined;
    total += Number(count) * size;
    lastSize = size;
  }
  return Number.isSafeInteger(total) ? total : undefined;
}

/**
 * Writes a whole number of milliseconds, largest units first; {@link parseDuration} reads it back.
 *
 * @param style `short` gives `1h30m`, `words` gives `1 hour and 30 minutes`
 */
export function formatDuration(ms: number, style: "short" | "words" = "short"): string {
  let rest = ms;
  const parts: string[] = [];
  for (const { ms: size, spellings } of WRITTEN) {
    const [short, word] = spellings;
    const count = Math.floor(rest / size);
    if (count > 0)
      parts.push(style === "short" ? `${count}${short}` : `${count} ${word}${count === 1 ? "" : "s"}`);
    rest -= count * size;
  }
  if (style === "short") return parts.join("") || "0s";
  return parts.join(" and ") || "0 seconds";
}
