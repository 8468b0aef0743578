/** The words for each kind of wrong input, as a caller reads them. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { parseDocument } from "../../../src/api/plugins/validation.ts";
import type { CarillonError } from "../../../src/errors.ts";

const schema = z.strictObject({
  text: z.string().min(1).max(3).optional(),
  words: z.string().min(2).optional(),
  whole: z.int().min(1).max(9).optional(),
  share: z.number().gt(0).lt(1).optional(),
  even: z.int().multipleOf(2).optional(),
  flag: z.boolean().optional(),
  list: z.array(z.string()).min(1).max(2).optional(),
  pair: z.tuple([z.string(), z.string()]).optional(),
  map: z.record(z.string().min(2), z.int()).optional(),
  choice: z.enum(["skip", "last", "all"]).optional(),
  one: z.literal("all").optional(),
  query: z.stringbool({ truthy: ["true"], falsy: ["false"] }).optional(),
  id: z.uuid().optional(),
  form: z.string().regex(/^x/).optional(),
  url: z.url().optional(),
  time: z.iso.datetime().optional(),
  either: z.union([z.string(), z.array(z.string())]).optional(),
  inner: z
    .strictObject({ needed: z.union([z.string(), z.number(), z.boolean()]), kind: z.enum(["a", "b"]) })
    .optional(),
  own: z
    .string()
    .refine(() => false, { error: "must be what the schema says" })
    .optional(),
  bare: z
    .string()
    .refine(() => false)
    .optional(),
});

function messages(value: unknown): string[] {
  try {
    parseDocument(schema, value);
    return [];
  } catch (error) {
    return (error as CarillonError).errors.map(({ path, message }) => `${path} ${message}`);
  }
}

describe("a wrong value", () => {
  it.each<[unknown, ...string[]]>([
    [undefined, "body is required; an object"],
    [null, "body must be an object"],
    [[], "body must be an object"],
    [{ text: 1 }, "text must be a string: put it in quotes"],
    [{ text: null }, "text must be a string"],
    [{ text: "" }, "text must not be empty"],
    [{ text: "long" }, "text must have at most 3 characters"],
    [{ words: "x" }, "words must have at least 2 characters"],
    [{ whole: 1.5 }, "whole must be a whole number"],
    [{ whole: "1" }, "whole must be a number"],
    [{ whole: 0 }, "whole must be at least 1"],
    [{ whole: 10 }, "whole must be at most 9"],
    [{ share: 0 }, "share must be more than 0"],
    [{ share: 1 }, "share must be less than 1"],
    [{ even: 3 }, "even must be a multiple of 2"],
    [{ flag: "yes" }, "flag must be true or false"],
    [{ list: "a" }, "list must be a list"],
    [{ list: [] }, "list must have at least 1 item"],
    [{ list: ["a", "b", "c"] }, "list must have at most 2 items"],
    [{ list: [null] }, "list.0 must be a string"],
    [{ pair: ["a"] }, "pair must have at least 2 items"],
    [{ map: { a: 1 } }, "map.a the key must have at least 2 characters"],
    [{ map: [] }, "map must be an object"],
    [{ choice: "none" }, "choice must be skip, last or all"],
    [{ one: "x" }, "one must be all"],
    [{ query: "1" }, "query must be true or false"],
    [{ id: "1" }, "id must be a UUID such as 01890000-0000-7000-8000-000000000000"],
    [{ form: "y" }, "form must be in another form"],
    [{ url: "x" }, "url must be a URL such as https://example.org/hook"],
    [{ time: "noon" }, "time must be a time in UTC such as 2026-03-01T09:05:00Z"],
    [{ either: 1 }, "either must be a string or a list: put it in quotes"],
    [{ either: [true] }, "either.0 must be a string: put it in quotes"],
    [
      { inner: {} },
      "inner.needed is required; a string, a number or true or false",
      "inner.kind is required; a or b",
    ],
    [{ own: "x" }, "own must be what the schema says"],
    [{ bare: "x" }, "bare is not valid"],
  ])("%j", (value, ...expected) => {
    expect(messages(value)).toEqual(expected);
  });
});
