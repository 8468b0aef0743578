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
 * JSON. The longest come first, so that what holds another one is replaced as a whole.
 */
export function redactionPatterns(values: readonly string[]): Buffer[] {
  const forms = values.flatMap((value) => [value, ...value.split(/\r?\n/)]).flatMap(writtenForms);
  const patterns = new Map(forms.map((form) => [form, Buffer.from(form)]));
  return [...patterns.values()]
    .filter((pattern) => pattern.length >= MIN_SECRET_BYTES)
    .toSorted((a, b) => b.length - a.length);
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

/** A redactor for one stream of bytes. Memory: one value more than what is written at once. */
export function createRedactor(patterns: readonly Buffer[]): Redactor {
  let kept: Buffer = Buffer.alloc(0);
  if (patterns.length === 0) return { write: (chunk) => chunk, end: () => kept };
  return {
    write(chunk) {
      const bytes = kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
      const { redacted, from } = replaceAll(bytes, patterns);
      const open = from + openEnd(bytes.subarray(from), patterns);
      kept = Buffer.from(bytes.subarray(open));
      return Buffer.concat([...redacted, bytes.subarray(from, open)]);
    },
    end() {
      const { redacted, from } = replaceAll(kept, patterns);
      const rest = Buffer.concat([...redacted, kept.subarray(from)]);
      kept = Buffer.alloc(0);
      return rest;
    },
  };
}

/** A text without the values. */
export function redactText(text: string, patterns: readonly Buffer[]): string {
  if (patterns.length === 0) return text;
  const redactor = createRedactor(patterns);
  return Buffer.concat([redactor.write(Buffer.from(text)), redactor.end()]).toString("utf8");
}

/** Everything up to the end of the last value, with the values replaced; what follows begins at `from`. */
function replaceAll(bytes: Buffer, patterns: readonly Buffer[]): { redacted: Buffer[]; from: number } {
  const redacted: Buffer[] = [];
  const next = patterns.map((pattern) => ({ pattern, at: bytes.indexOf(pattern) }));
  let from = 0;
  for (;;) {
    let first: (typeof next)[number] | undefined;
    for (const one of next) {
      if (one.at !== -1 && one.at < from) one.at = bytes.indexOf(one.pattern, from);
      // Of two that begin together the longer one comes first.
      if (one.at !== -1 && (first === undefined || one.at < first.at)) first = one;
    }
    if (first === undefined) return { redacted, from };
    redacted.push(bytes.subarray(from, first.at), MARK);
    from = first.at + first.pattern.length;
  }
}

/** Where the longest end of `bytes` begins that is the beginning of a pattern; its length when there is none. */
function openEnd(bytes: Buffer, patterns: readonly Buffer[]): number {
  const longest = patterns[0]?.length ?? 0;
  for (let at = Math.max(0, bytes.length - longest + 1); at < bytes.length; at++) {
    if (patterns.some((pattern) => beginsWithEnd(pattern, bytes, at))) return at;
  }
  return bytes.length;
}

function beginsWithEnd(pattern: Buffer, bytes: Buffer, at: number): boolean {
  const length = bytes.length - at;
  // The first byte decides nearly always, and costs nothing.
  if (pattern[0] !== bytes[at] || pattern.length <= length) return false;
  return pattern.compare(bytes, at, bytes.length, 0, length) === 0;
}
