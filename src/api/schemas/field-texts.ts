/** Says in plain words what is wrong with an input and what to write instead, in the place of zod's messages. */
import type { z } from "zod";

type RawIssue = z.core.$ZodRawIssue;

/** An input of a type that is not accepted; undefined: the input is missing. */
interface WrongType {
  input?: unknown;
  /** The types that zod expects. */
  expected: readonly string[];
}

const TYPES: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "an object",
  record: "an object",
};

const FORMATS: Readonly<Record<string, string>> = {
  uuid: "a UUID such as 01890000-0000-7000-8000-000000000000",
  url: "a URL such as https://example.org/hook",
  datetime: "a time in UTC such as 2026-03-01T09:05:00Z",
};

/** An error map for zod. Messages of single schemas take precedence over it. */
export function plainMessage(issue: RawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return wrongType({ input: issue.input, expected: [issue.expected] });
    case "invalid_value":
      return mustBe(issue.input, oneOf(issue.values.map(String)));
    case "invalid_format":
      return `must be ${FORMATS[issue.format] ?? "in another form"}`;
    case "too_small":
      return issue.origin === "string" && issue.minimum === 1
        ? "must not be empty"
        : `must ${bound(issue.origin, issue.inclusive === false ? "more than" : "at least", issue.minimum)}`;
    case "too_big":
      return `must ${bound(issue.origin, issue.inclusive === false ? "less than" : "at most", issue.maximum)}`;
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    default:
      return "is not valid";
  }
}

/** Says which types an input may have, such as `is required; a string or a list`. */
export function wrongType({ input, expected }: WrongType): string {
  const types = expected.map((type) => TYPES[type] ?? `of the type ${type}`);
  // The parser has read 1.10 as 1.1, so only its author knows the text that was meant.
  const isBare = (typeof input === "number" || typeof input === "boolean") && expected.includes("string");
  return `${mustBe(input, oneOf([...new Set(types)]))}${isBare ? ": put it in quotes" : ""}`;
}

function mustBe(input: unknown, what: string): string {
  return input === undefined ? `is required; ${what}` : `must be ${what}`;
}

function oneOf(choices: readonly string[]): string {
  const last = choices.at(-1) ?? "";
  return choices.length < 2 ? last : `${choices.slice(0, -1).join(", ")} or ${last}`;
}

function bound(origin: string, comparison: string, limit: number | bigint): string {
  const plural = Number(limit) === 1 ? "" : "s";
  switch (origin) {
    case "string":
      return `have ${comparison} ${limit} character${plural}`;
    case "array":
    case "set":
      return `have ${comparison} ${limit} item${plural}`;
    default:
      return `be ${comparison} ${limit}`;
  }
}
