/** The rules that apply to every input, in any format, before a schema sees it. */
import type { FieldError } from "../errors.ts";
import { startInUnits } from "./cuts.ts";

/** How deep arrays and objects may be nested. */
export const MAX_DEPTH = 32;
export const TOO_DEEP = `Arrays and objects may be nested at most ${MAX_DEPTH} levels deep`;

// A careless copy of such a key would change the prototype of the copy.
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__", "constructor"]);

// Each error repeats its path, so a long key could make the response a thousand times larger than the body.
const MAX_PATH_LENGTH = 300;

/** The path of a value in an input, such as `jobs.coffee.cron.0`; the whole input is `body`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return "body";
  return startInUnits(path.map(String).join("."), MAX_PATH_LENGTH).toWellFormed();
}

/**
 * Finds the first part of a value that Postgres or JSON cannot store or that no input needs: NUL, half a surrogate
 * pair, a number that is not finite, a key such as `__proto__`. The value must be at most MAX_DEPTH levels deep.
 */
export function findUnsafe(value: unknown, path: readonly string[] = []): FieldError | undefined {
  const fault = typeof value === "string" ? unsafeText(value) : unsafeNumber(value);
  if (fault !== undefined) return { path: fieldPath(path), message: fault };
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    const inner = [...path, key];
    if (FORBIDDEN_KEYS.has(key)) return { path: fieldPath(inner), message: "this key is not allowed" };
    const keyFault = unsafeText(key);
    if (keyFault !== undefined) return { path: fieldPath(inner), message: `the key ${keyFault}` };
    const found = findUnsafe(item, inner);
    if (found !== undefined) return found;
  }
  return undefined;
}

function unsafeText(text: string): string | undefined {
  if (text.includes("\0")) return "must not contain NUL (\\u0000)";
  return text.isWellFormed() ? undefined : "must not contain half a surrogate pair";
}

function unsafeNumber(value: unknown): string | undefined {
  return typeof value === "number" && !Number.isFinite(value)
    ? "must be a finite number; text must be in quotes"
    : undefined;
}
