/** Takes secret values out of bytes and texts, also where a value is split between two chunks. */
import { createPatternIndex, type PatternIndex } from "./pattern-index.ts";

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
