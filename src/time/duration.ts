/** Durations as people write them, `90s` or `1h30m`, to and from milliseconds. */

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
