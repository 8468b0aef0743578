/** Output made into text, and text cut so that its end stays and no character is split. */

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
const NUL = "\u0000";
const REPLACEMENT = "\uFFFD";

/** Bytes as text that Postgres and JSON take: NUL and invalid UTF-8 become U+FFFD. */
export function textFromBytes(bytes: Uint8Array): string {
  return UTF8.decode(bytes).replaceAll(NUL, REPLACEMENT);
}

/** How many bytes there are before a character whose end is yet to come: all of them, or up to three less. */
export function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    // A byte 10xxxxxx continues a character; any other one begins one and says of how many bytes.
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** The end of a text in at most `maxBytes` bytes of UTF-8. */
export function endInBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= maxBytes) return text;
  let start = bytes.length - maxBytes;
  // A byte 10xxxxxx continues a character that began before the cut.
  while (start < bytes.length && ((bytes[start] ?? 0) & 0xc0) === 0x80) start++;
  return bytes.subarray(start).toString("utf8");
}

/** The end of a text in at most `maxLength` UTF-16 units, never half of a surrogate pair. */
export function endInUnits(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const end = maxLength <= 0 ? "" : text.slice(-maxLength);
  const first = end.charCodeAt(0);
  return first >= 0xdc00 && first <= 0xdfff ? end.slice(1) : end;
}
