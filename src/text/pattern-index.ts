/** Finds many byte patterns in one pass: a table of hashes says where it is worth to look, whatever the number of patterns. */

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
