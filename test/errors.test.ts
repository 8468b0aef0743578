/** The catalogue of errors: every code is used, titles and details have one form. */
import { dirname } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { errorCatalogue, sentence, withinSentence } from "../src/errors.ts";
import { errorDetails } from "./support/error-details.ts";

let details: Map<string, string[]>;
beforeAll(async () => {
  details = await errorDetails(dirname(import.meta.dirname));
}, 60_000);

const CODES = errorCatalogue().map(({ code }) => code);

it("is walked by these tests: each detail belongs to a code of the catalogue", () => {
  expect([...details.keys()].filter((code) => !CODES.some((known) => known === code))).toEqual([]);
});

describe.each(errorCatalogue())("$code", ({ code, title }) => {
  it("has a title that begins with a capital and has no full stop", () => {
    expect(title).toMatch(/^[A-Z].*[^.]$/);
  });

  it("is thrown, and each detail is a sentence: a capital first, a full stop at the end", () => {
    expect(details.get(code)).not.toBeUndefined();
    expect(details.get(code)?.filter((detail) => !/^[A-Z].*[.?]$/s.test(detail))).toEqual([]);
  });
});

it.each([
  ["there is no job tea", "There is no job tea."],
  ['at crn: unknown field; did you mean "cron"?', 'At crn: unknown field; did you mean "cron"?'],
])("makes a sentence of %j, and the reverse", (part, whole) => {
  expect(sentence(part)).toBe(whole);
  expect(sentence(whole)).toBe(whole);
  expect(withinSentence(whole)).toBe(part);
});
