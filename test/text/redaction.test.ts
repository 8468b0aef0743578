/** Tests of the redactor: no secret value passes, however the bytes are split, and all other bytes are unchanged. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { createRedactor, REDACTED, redactionPatterns, redactText } from "../../src/text/redaction.ts";

const SECRET = 's3cr3t-Val/ue+&"x';

function redactInPieces(bytes: Buffer, cuts: readonly number[], values: readonly string[]): Buffer {
  const redactor = createRedactor(redactionPatterns(values));
  const bounds = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  const pieces = bounds.slice(1).map((end, index) => redactor.write(bytes.subarray(bounds[index], end)));
  return Buffer.concat([...pieces, redactor.end()]);
}

it.each([
  ["as plain text", SECRET],
  ["as base64", Buffer.from(SECRET).toString("base64")],
  ["as base64 without padding", Buffer.from(SECRET).toString("base64").replace(/=+$/, "")],
  ["as base64url", Buffer.from(SECRET).toString("base64url")],
  ["in a URL", encodeURIComponent(SECRET)],
  ["in JSON", JSON.stringify(SECRET).slice(1, -1)],
])("finds a value %s", (_form, written) => {
  expect(redactText(`a=${written};`, redactionPatterns([SECRET]))).toBe(`a=${REDACTED};`);
});

it("redacts each line of a value with several lines, except short lines", () => {
  const patterns = redactionPatterns(["-----BEGIN-----\nabcdefghijkl\nend\n"]);
  expect(redactText("x abcdefghijkl x end x", patterns)).toBe(`x ${REDACTED} x end x`);
});

it("redacts the longer of two values with the same start, and values inside it", () => {
  expect(redactText("passwordpassword1", redactionPatterns(["password", "passwordpassword1"]))).toBe(
    REDACTED,
  );
});

it("passes on at once what cannot be part of a value, and holds back what may become one", () => {
  const redactor = createRedactor(redactionPatterns(["password"]));
  expect(redactor.write(Buffer.from("progress 10%\npass")).toString()).toBe("progress 10%\n");
  expect(redactor.write(Buffer.from("able\n")).toString()).toBe("passable\n");
  expect(redactor.write(Buffer.from("pass")).toString()).toBe("");
  expect(redactor.write(Buffer.from("word!")).toString()).toBe(`${REDACTED}!`);
  redactor.write(Buffer.from("pas"));
  expect(redactor.end().toString()).toBe("pas");
});

it.each([
  [
    "a value that is the start of another one",
    ["hunter2hunter2", "hunter2hunter2-PROD-99"],
    "x hunter2hunter2-PROD-99 y",
    16,
  ],
  [
    "a value inside another one",
    ["password-1", "db://u:password-1@host/XYZ"],
    "db://u:password-1@host/XYZ",
    17,
  ],
  ["one line of a value with several lines", ["first line\nabc1234"], "first line\nabc1234", 11],
])("redacts the whole longest value when the chunk ends after %s", (_what, values, text, cut) => {
  const whole = redactText(text, redactionPatterns(values));
  expect(redactInPieces(Buffer.from(text), [cut], values).toString()).toBe(whole);
  expect(whole.replace(REDACTED, "")).toHaveLength(whole.length - REDACTED.length);
});

it("passes no value, and returns the same text however the chunks are split", () => {
  const piece = fc.constantFrom("a", "b", "ab", "abab", "ababababX", "bababababab", "\u00e9", "\n");
  // The hard cases are values that overlap with each other, with themselves or with other text.
  const values = fc.array(
    fc.constantFrom(
      "abababab",
      "ababababX",
      "ababababXabab",
      "bababababab",
      "aaaaaaaaa",
      "\u00e9\u00e9abab\u00e9\u00e9",
    ),
    { minLength: 1, maxLength: 4 },
  );
  const texts = fc.array(
    fc.oneof(
      piece,
      values.map((all) => all.join("")),
    ),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(texts, values, fc.array(fc.nat({ max: 400 }), { maxLength: 12 }), (parts, secrets, cuts) => {
      const text = parts.join("");
      const whole = redactText(text, redactionPatterns(secrets));
      expect(redactInPieces(Buffer.from(text), cuts, secrets).toString()).toBe(whole);
      for (const secret of secrets) expect(whole).not.toContain(secret);
    }),
    { numRuns: 1_000 },
  );
});

it("passes all other bytes unchanged", () => {
  const cuts = fc.array(fc.nat({ max: 2_000 }), { maxLength: 12 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), cuts, (bytes, where) => {
      expect(redactInPieces(Buffer.from(bytes), where, [SECRET]).equals(Buffer.from(bytes))).toBe(true);
    }),
  );
});

it("redacts long values too, however the chunks are split", () => {
  // The short value is the end of the long one, and also occurs in its middle.
  const [short, long] = ["ab".repeat(200), `${"ab".repeat(200)}${"c".repeat(300)}${"ab".repeat(200)}`];
  const near = `${"ab".repeat(200)}${"c".repeat(299)}d`;
  const parts = fc.array(fc.constantFrom(short, long, near, "a", "b", "c", "ab"), { maxLength: 6 });
  fc.assert(
    fc.property(parts, fc.array(fc.nat({ max: 7_000 }), { maxLength: 6 }), (texts, cuts) => {
      const text = texts.join("");
      const expected = text.replaceAll(new RegExp(`${long}|${short}`, "g"), REDACTED);
      expect(redactInPieces(Buffer.from(text), cuts, [short, long]).toString()).toBe(expected);
    }),
  );
});
