/** Turns output into text, and cuts bytes and texts to a size without splitting a character. */

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
const NUL = "\u0000";
const REPLACEMENT = "\uFFFD";

/** Decodes bytes to text that Postgres and JSON accept: NUL and invalid UTF-8 become U+FFFD. */
export function textFromBytes(bytes: Uint8Array): string {
  return UTF8.decode(bytes).replaceAll(NUL, REPLACEMENT);
}

/**
 * The first `maxBytes` bytes of UTF-8, or all of them if there are fewer, without the beginning of an unfinished
 * character at their end (up to three bytes).
 */
export function headInBytes(bytes: Uint8Array, maxBytes = bytes.length): Uint8Array {
  const head = bytes.subarray(0, maxBytes);
  for (let back = 1; back <= Math.min(3, head.length); back++) {
    const byte = head[head.length - back] ?? 0;
    if (continuesCharacter(byte)) continue;
    // The first byte of a character tells how many there are.
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? head.subarray(0, -back) : head;
  }
  return head;
}

/** UTF-8 without the end of a character whose beginning is missing (up to three bytes). */
export function afterHalfCharacter(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < 3 && continuesCharacter(bytes[start])) start++;
  return bytes.subarray(start);
}

/** The longest end of a text that fits in `maxBytes` bytes of UTF-8. */
export function endInBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= maxBytes) return text;
  let start = bytes.length - maxBytes;
  while (continuesCharacter(bytes[start])) start++;
  return bytes.subarray(start).toString("utf8");
}

/** The longest end of a text that fits in `maxLength` UTF-16 units, as Slack and Discord count. */
export function endInUnits(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const end = maxLength <= 0 ? "" : text.slice(-maxLength);
  const first = end.charCodeAt(0);
  return first >= 0xdc00 && first <= 0xdfff ? end.slice(1) : end;
}

/** The longest start of a text that fits in `maxLength` UTF-16 units. */
export function startInUnits(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const start = text.slice(0, Math.max(0, maxLength));
  const last = start.charCodeAt(start.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? start.slice(0, -1) : start;
}

/** In UTF-8 a byte 10xxxxxx continues a character, and every other one begins one. */
function continuesCharacter(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
