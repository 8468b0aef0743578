/** Writes an instant as the clocks of a time zone show it. */
import { spans } from "./zones.ts";

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
