/** Parses JSON, and refuses two things that JSON.parse accepts: unlimited depth and duplicate keys. */
import { CarillonError, sentence } from "../errors.ts";
import { MAX_DEPTH, TOO_DEEP } from "./input.ts";
import { noteLiteral } from "./literals.ts";

// A string may also end at the end of the text. Valid JSON has no such string, but no text is scanned twice then.
const TOKEN = /"[^"\\]*(?:\\[\s\S][^"\\]*)*(?:"|\\?$)|[[\]{}:]/g;

// Numbers that String() may not restore: 1.10, 1e3, -0 and 20 digits. A match in a string only costs time.
const UNUSUAL_NUMBER = /[:,[]\s*-?(?:\d+[.eE]|\d{16}|0\s*[,\]}])/;

/** Returns the value of a JSON text. Throws `malformed_body`. */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    // A reviver makes parsing many times slower.
    value = JSON.parse(text, UNUSUAL_NUMBER.test(text) ? keepLiteral : undefined);
  } catch (error) {
    throw new CarillonError("malformed_body", `The body is not JSON: ${(error as SyntaxError).message}.`);
  }
  checkStructure(text);
  return value;
}

function keepLiteral(this: object, key: string, value: unknown, context?: { source?: string }): unknown {
  if (context?.source !== undefined) noteLiteral(this, key, value, context.source);
  return value;
}

// JSON.parse silently keeps the last of two equal keys, so the text itself has to be checked.
function checkStructure(text: string): void {
  const open: Set<string>[] = [];
  let literal = "";
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    switch (token) {
      case "{":
      case "[":
        if (open.push(new Set()) > MAX_DEPTH) throw new CarillonError("malformed_body", sentence(TOO_DEEP));
        break;
      case "}":
      case "]":
        open.pop();
        break;
      case ":":
        addKey(open.at(-1), literal, () => text.slice(0, index).split("\n").length);
        break;
      default:
        literal = token;
    }
  }
}

function addKey(keys: Set<string> | undefined, literal: string, line: () => number): void {
  const key: string = JSON.parse(literal);
  if (keys?.has(key)) {
    throw new CarillonError(
      "malformed_body",
      `Line ${line()}: the key ${literal} appears twice in one object.`,
    );
  }
  keys?.add(key);
}
