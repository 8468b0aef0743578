/** Removes secret values from bytes and texts, also where two chunks share a value. */

/** What stands in place of a value. */
export const REDACTED = "[redacted]";
/** A shorter value would appear by chance in ordinary output. */
export const MIN_SECRET_BYTES = 8;

const MARK = Buffer.from(REDACTED);

export interface Redactor {
  /** Returns the bytes that cannot belong to a value; keeps back what may be the beginning of one. */
  write(chunk: Buffer): Buffer;
  /** Returns the bytes that were kept back, at the end of the stream. */
  end(): Buffer;
}

/**
 * The bytes to search for: each value, and each of its lines if it has several, as it is, as base64 (standard and
 * URL-safe), percent-encoded and as a JSON string.
 */
export function redactionPatterns(values: readonly string[]): Buffer[] {
  const forms = values.flatMap((value) => [value, ...value.split(/\r?\n/)]).flatMap(writtenForms);
  const patterns = new Map(forms.map((form) => [form, Buffer.from(form)]));
  return [...patterns.values()].filter((pattern) => pattern.length >= MIN_SECRET_BYTES);
}

function writtenForms(value: string): string[] {
  const base64 = Buffer.from(value).toString("base64");
  return [
    value,
    base64,
    base64.replace(/={1,2}$/, ""),
    Buffer.from(value).toString("base64url"),
    // A lone surrogate has no form in a URL; it becomes U+FFFD, as in the bytes of the value.
    encodeURIComponent(value.toWellFormed()),
    JSON.stringify(value).slice(1, -1),
  ];
}

/**
 * A redactor for one stream of bytes. Its output does not depend on how the stream is cut into chunks: where several
 * values begin, the longest is replaced. It holds one chunk and the beginning of one value in memory.
 */
export function createRedactor(patterns: readonly Buffer[]): Redactor {
  if (patterns.length === 0) return { write: (chunk) => chunk, end: () => Buffer.alloc(0) };
  const longestFirst = patterns.toSorted((a, b) => b.length - a.length);
  let kept: Buffer = Buffer.alloc(0);
  const go = (bytes: Buffer, isEnd: boolean) => {
    const { redacted, open } = redact(bytes, longestFirst, isEnd);
    kept = Buffer.from(bytes.subarray(open));
    return redacted;
  };
  return {
    write: (chunk) => go(kept.length === 0 ? chunk : Buffer.concat([kept, chunk]), false),
    end: () => go(kept, true),
  };
}

/** The text with {@link REDACTED} in place of each value. */
export function redactText(text: string, patterns: readonly Buffer[]): string {
  if (patterns.length === 0) return text;
  const redactor = createRedactor(patterns);
  return Buffer.concat([redactor.write(Buffer.from(text)), redactor.end()]).toString("utf8");
}

/** A pattern, and the next place where it stands. */
interface Hit {
  readonly pattern: Buffer;
  at: number;
}

/** Redacts everything before `open`, where something begins that the next chunk may complete or make longer. */
function redact(
  bytes: Buffer,
  longestFirst: readonly Buffer[],
  isEnd: boolean,
): { redacted: Buffer; open: number } {
  const parts: Buffer[] = [];
  const hits: Hit[] = longestFirst.map((pattern) => ({ pattern, at: find(bytes, pattern, 0, isEnd) }));
  for (let from = 0; ; ) {
    // Where nothing is found, the rest is handed on: no pattern fits behind the end.
    let first: Hit = { pattern: MARK, at: bytes.length };
    for (const hit of hits) {
      if (hit.at < from) hit.at = find(bytes, hit.pattern, from, isEnd);
      if (hit.at < first.at) first = hit;
    }
    const { at, pattern } = first;
    parts.push(bytes.subarray(from, at));
    if (at + pattern.length > bytes.length) return { redacted: Buffer.concat(parts), open: at };
    parts.push(MARK);
    from = at + pattern.length;
  }
}

/** The first place from `from` on where a pattern stands, or its beginning at the end of `bytes`; else their length. */
function find(bytes: Buffer, pattern: Buffer, from: number, isEnd: boolean): number {
  const whole = findWhole(bytes, pattern, from);
  if (whole !== -1) return whole;
  if (isEnd) return bytes.length;
  const firstByte = pattern.subarray(0, 1);
  let at = bytes.indexOf(firstByte, Math.max(from, bytes.length - pattern.length + 1));
  while (at !== -1 && !beginsWith(bytes, at, pattern, bytes.length - at))
    at = bytes.indexOf(firstByte, at + 1);
  return at === -1 ? bytes.length : at;
}

/** Node's search compares byte by byte, which is slow in a long pattern that repeats itself: it gets no longer one. */
const SEARCHED_BYTES = 256;

function findWhole(bytes: Buffer, pattern: Buffer, from: number): number {
  if (pattern.length <= SEARCHED_BYTES) return bytes.indexOf(pattern, from);
  const head = pattern.subarray(0, SEARCHED_BYTES);
  let at = bytes.indexOf(head, from);
  while (at !== -1 && !beginsWith(bytes, at, pattern, pattern.length)) at = bytes.indexOf(head, at + 1);
  return at;
}

/** Whether the first `length` bytes of a pattern stand at `at`. */
function beginsWith(bytes: Buffer, at: number, pattern: Buffer, length: number): boolean {
  return at + length <= bytes.length && pattern.compare(bytes, at, at + length, 0, length) === 0;
}
