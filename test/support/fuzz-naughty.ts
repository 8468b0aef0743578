/** Values for fast-check that break programs, and right values spoiled by them at one place. */
import fc from "fast-check";

// Neither Postgres nor UTF-8 can carry them.
const UNSTORABLE = ["\0", "a\0b", "\ud800", "\udc00x"];
const TEXTS = [
  ...["", " ", "\ufeff", "\u202e", "\r\nx: y", "\u001b[2J", "💥"],
  ...["__proto__", "constructor", "toString", "null", "NaN", "-0", "1e400", "0x10", "../..", "%00", "%zz"],
  ...["'; drop table run; --", "$(id)", "<script>", "5m", "@daily", "9999-12-31T23:59:59Z"],
];
const NUMBERS = [0, -0, -1, 1, 0.5, 2 ** 31, -(2 ** 31), 2 ** 53, 2 ** 63, 1e21, 1e308, -1e308, 5e-324];
const EMPTY: unknown[] = [null, true, false, [], {}, [[]], [null], { "": "" }, { toString: 1 }];

/** Any text, with NUL, half surrogate pairs and all. */
export const naughtyText: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...UNSTORABLE) },
  { weight: 3, arbitrary: fc.constantFrom(...TEXTS) },
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.array(fc.constantFrom(...TEXTS, ...UNSTORABLE), { maxLength: 5 }).map((parts) => parts.join("")),
  fc.tuple(fc.constantFrom("x", "🔔", "(", " ", "a=", "1"), fc.nat(3_000)).map(([one, n]) => one.repeat(n)),
);

const nested = fc
  .tuple(fc.nat(100), fc.boolean())
  .map(([depth, list]) => Array(depth).reduce((inner) => (list ? [inner] : { a: inner }), 1));

/** Any value that JSON has, mostly of no use. */
export const naughtyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: naughtyText },
  fc.constantFrom(...EMPTY, "x".repeat(70_000)),
  fc.constantFrom(...NUMBERS),
  nested,
  fc.jsonValue(),
);

/** A value with something else at one place in it, or with one field more. */
export function spoiled(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(value, fc.nat(1_000), naughtyText, naughtyValue).map(([whole, at, key, naughty]) => {
    const all = placesIn(whole, key);
    return replaceAt(whole, all[at % all.length] ?? [], naughty);
  });
}

/** The paths to all parts of a value, and of the field that each object in it could have besides. */
function placesIn(value: unknown, besides: string): string[][] {
  if (typeof value !== "object" || value === null) return [[]];
  const inner = Object.entries(value).flatMap(([key, item]) =>
    placesIn(item, besides).map((path) => [key, ...path]),
  );
  return Array.isArray(value) ? [[], ...inner] : [[], [besides], ...inner];
}

function replaceAt(value: unknown, [key, ...rest]: string[], by: unknown): unknown {
  if (key === undefined) return by;
  const inner = replaceAt(Object(value)[key], rest, by);
  return Array.isArray(value) ? value.with(Number(key), inner) : { ...Object(value), [key]: inner };
}
