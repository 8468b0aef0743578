/** Cuts a range of bytes out of a text that arrives in parts (RFC 9110, section 14). */

/** The first and last byte, both included; or the number of bytes at the end. */
export type ByteRange = { first: number; last: number } | { suffix: number };

/** Maximum size of a response, which is held in memory: the first bytes of a longer range, the last of a longer suffix. */
export const MAX_RANGE_BYTES = 8 * 1_048_576;

/** Parses a Range header. Returns undefined (the whole text) for several ranges, other units and invalid headers. */
export function parseRange(header: string | undefined): ByteRange | undefined {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.trim() ?? "") ?? [];
  if (first === "") return last === "" ? undefined : { suffix: Number(last) };
  const range = { first: Number(first), last: last === "" ? Number.POSITIVE_INFINITY : Number(last) };
  return range.first <= range.last ? range : undefined;
}

/** The available bytes of a range. */
export interface RangePart {
  first: number;
  /** Empty when the range is beyond the end. */
  bytes: Buffer;
  /** Number of bytes read; the total when the range is a suffix or beyond the end, or with `toEnd`. */
  seen: number;
}

/**
 * Reads texts until the end of the range.
 * @param toEnd read to the end of the text, to learn its total number of bytes
 */
export async function cutRange(
  texts: AsyncIterable<string>,
  range: ByteRange,
  toEnd: boolean,
): Promise<RangePart> {
  const isSuffix = "suffix" in range;
  const first = isSuffix ? 0 : range.first;
  const suffix = isSuffix ? Math.min(range.suffix, MAX_RANGE_BYTES) : Number.POSITIVE_INFINITY;
  const end = isSuffix ? Number.POSITIVE_INFINITY : Math.min(range.last + 1, first + MAX_RANGE_BYTES);
  const parts: Buffer[] = [];
  let held = 0;
  let seen = 0;
  for await (const text of texts) {
    const bytes = Buffer.from(text);
    const part = bytes.subarray(Math.max(0, first - seen), Math.max(0, end - seen));
    if (part.length > 0) parts.push(part);
    held += part.length;
    seen += bytes.length;
    for (let [oldest] = parts; oldest && held - oldest.length >= suffix; [oldest] = parts) {
      parts.shift();
      held -= oldest.length;
    }
    if (seen >= end && !toEnd) break;
  }
  const bytes = Buffer.concat(parts);
  if (!isSuffix) return { first, bytes, seen };
  const cut = bytes.subarray(Math.max(0, bytes.length - suffix));
  return { first: seen - cut.length, bytes: cut, seen };
}
