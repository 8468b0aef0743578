/** Cuts a range of bytes out of a text that comes in parts (RFC 9110, section 14). */

/** Both ends are part of it; or so many bytes at the end. */
export type ByteRange = { first: number; last: number } | { suffix: number };

/** A longer range is answered by its first bytes, or a longer suffix by its last: it is held in memory. */
export const MAX_RANGE_BYTES = 8 * 1_048_576;

/** The range that a header asks for; undefined: everything, as for several ranges, other units and what cannot be read. */
export function parseRange(header: string | undefined): ByteRange | undefined {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.trim() ?? "") ?? [];
  if (first === "") return last === "" ? undefined : { suffix: Number(last) };
  const range = { first: Number(first), last: last === "" ? Number.POSITIVE_INFINITY : Number(last) };
  return range.first <= range.last ? range : undefined;
}

/** What there is of a range. */
export interface Cut {
  first: number;
  /** Empty: there is nothing in the range. */
  bytes: Buffer;
  /** Bytes that were looked at: all there are when the range is empty, or a suffix. */
  seen: number;
}

/** @param toEnd look at all there is, so as to know how many bytes there are */
export async function cutRange(texts: AsyncIterable<string>, range: ByteRange, toEnd: boolean): Promise<Cut> {
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
