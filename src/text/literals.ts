/** Remembers how the numbers and booleans of a document were written, for fields in which they are text. */

/** Of each map of a document: the literals that String() does not restore, such as `1.10`, by key. */
const literalsOf = new WeakMap<object, Map<string, string>>();

/** Remembers how a value of a map was written. The latest call for a key counts; other values need no literal. */
export function noteLiteral(owner: object, key: string, value: unknown, literal: string): void {
  if (!isBare(value)) return;
  const known = literalsOf.get(owner) ?? new Map<string, string>();
  if (literal === String(value)) known.delete(key);
  else literalsOf.set(owner, known.set(key, literal));
}

/** Remembers the literals of one map for another one that has taken over its values. */
export function copyLiterals(from: object, to: object): void {
  const literals = literalsOf.get(from);
  for (const [key, value] of Object.entries(from)) {
    if (isBare(value)) noteLiteral(to, key, value, literals?.get(key) ?? String(value));
  }
}

/** Returns a copy of a map in which numbers and booleans are text as it was written; other values stay as they are. */
export function withLiterals(map: object): Record<string, unknown> {
  const literals = literalsOf.get(map);
  const entries = Object.entries(map).map(([key, value]) => [
    key,
    isBare(value) ? (literals?.get(key) ?? String(value)) : value,
  ]);
  return Object.fromEntries(entries);
}

function isBare(value: unknown): value is number | boolean {
  return typeof value === "number" || typeof value === "boolean";
}
