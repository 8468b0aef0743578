/** Takes secret values out of bytes and texts, also where a value is split between two chunks. */

/** What stands in place of a value. */
export const REDACTED = "[redacted]";
/** A shorter value would be found everywhere by chance. */
export const MIN_SECRET_BYTES = 8;

const MARK = Buffer.from(REDACTED);

export interface Redactor {
  /** Hands on what is sure to be no part of a value; keeps back what may be the beginning of one. */
  write(chunk: Buffer): Buffer;
  /** Hands on what was kept back: the end has come. */
  end(): Buffer;
}

/**
 * What has to be found of secret values: each as it is, its lines where it has several, and as base64, in a URL and in
 * JSON.
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
 * A redactor for one stream of bytes, which gives the same whatever the chunks: where several values begin, the longest
 * is replaced. Memory: one value more than what is written at once.
 */
export function createRedactor(patterns: readonly Buffer[]): Redactor {
  if (patterns.length === 0) return { write: (chunk) => chunk, end: () => Buffer.alloc(0) };
  const index = createPatternIndex(patterns, MIN_SECRET_BYTES);
  let kept: Buffer = Buffer.alloc(0);
  const go = (bytes: Buffer, isEnd: boolean) => {
    const { redacted, open } = redact(bytes, index, isEnd);
    kept = Buffer.from(bytes.subarray(open));
    return redacted;
  };
  return {
    write: (chunk) => go(kept.length === 0 ? chunk : Buffer.concat([kept, chunk]), false),
    end: () => go(kept, true),
  };
}

/** A text without the values. */
export function redactText(text: string, patterns: readonly Buffer[]): string {
  if (patterns.length === 0) return text;
  const redactor = createRedactor(patterns);
  return Buffer.concat([redactor.write(Buffer.from(text)), redactor.end()]).toString("utf8");
}

/** Everything up to `open`, where something begins that may become a value, or a longer one. */
function redact(bytes: Buffer, index: PatternIndex, isEnd: boolean): { redacted: Buffer; open: number } {
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = index.next(bytes, 0); at < bytes.length; ) {
    if (!isEnd && index.mayGrow(bytes, at)) {
      return { redacted: Buffer.concat([...parts, bytes.subarray(from, at)]), open: at };
    }
    const length = index.longestAt(bytes, at);
    if (length > 0) {
      parts.push(bytes.subarray(from, at), MARK);
      from = at + length;
    }
    at = index.next(bytes, Math.max(from, at + 1));
  }
  return { redacted: Buffer.concat([...parts, bytes.subarray(from)]), open: bytes.length };
}

const TABLE_BITS = 16;
/** Knuth's multiplicative hash: 2^32 divided by the golden ratio. */
const GOLDEN = 0x9e3779b1;
const HASHED_BYTES = 4;

export interface PatternIndex {
  /** The first place from `from` on where a pattern may begin; the length of `bytes` when there is none. */
  next(bytes: Buffer, from: number): number;
  /** The length of the longest pattern that stands at `at`; 0 when none does. */
  longestAt(bytes: Buffer, at: number): number;
  /** Whether what stands from `at` to the end is the beginning of a pattern that is longer. */
  mayGrow(bytes: Buffer, at: number): boolean;
}

/** @param minBytes every pattern has at least so many; 4 or more */
export function createPatternIndex(patterns: readonly Buffer[], minBytes: number): PatternIndex {
  const table = new Uint8Array(2 ** TABLE_BITS);
  const heads = new Map<string, Buffer[]>();
  for (const pattern of patterns.toSorted((a, b) => b.length - a.length)) {
    table[hashAt(pattern, 0)] = 1;
    const head = pattern.toString("latin1", 0, minBytes);
    heads.set(head, [...(heads.get(head) ?? []), pattern]);
  }
  const candidates = (bytes: Buffer, at: number) =>
    heads.get(bytes.toString("latin1", at, at + minBytes)) ?? [];

  return {
    next(bytes, from) {
      // Behind here the bytes do not suffice for a head: only the beginning of a pattern can stand there.
      const tail = Math.max(from, bytes.length - minBytes + 1);
      for (let at = from; at < tail; at++) {
        if (table[hashAt(bytes, at)] === 1 && heads.has(bytes.toString("latin1", at, at + minBytes)))
          return at;
      }
      return tail;
    },
    longestAt(bytes, at) {
      const found = candidates(bytes, at).find((pattern) => beginsWith(bytes, at, pattern, pattern.length));
      return found?.length ?? 0;
    },
    mayGrow(bytes, at) {
      const left = bytes.length - at;
      const longer = left >= minBytes ? candidates(bytes, at) : patterns;
      return longer.some((pattern) => pattern.length > left && beginsWith(bytes, at, pattern, left));
    },
  };
}

function hashAt(bytes: Buffer, at: number): number {
  let word = 0;
  for (let offset = 0; offset < HASHED_BYTES; offset++) {
    word = (word << 8) | (bytes[at + offset] ?? 0);
  }
  return Math.imul(word, GOLDEN) >>> (32 - TABLE_BITS);
}

/** Whether the first `length` bytes of a pattern stand at `at`. */
function beginsWith(bytes: Buffer, at: number, pattern: Buffer, length: number): boolean {
  return at + length <= bytes.length && pattern.compare(bytes, at, at + length, 0, length) === 0;
}
