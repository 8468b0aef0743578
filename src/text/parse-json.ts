/** JSON text to a value, refusing what JSON.parse lets through: depth without end and keys given twice. */
import { CarillonError } from "../errors.ts";
import { MAX_DEPTH, TOO_DEEP } from "./input.ts";

// A string may end with the text, which it does in no JSON: so nothing is read twice, whatever the text.
const TOKEN = /"[^"\\]*(?:\\[\s\S][^"\\]*)*(?:"|\\?$)|[[\]{}:]/g;

/** The value of a JSON text. Throws `malformed_body`. */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CarillonError("malformed_body", `The body is not JSON: ${(error as SyntaxError).message}`);
  }
  checkStructure(text);
  return value;
}

// JSON.parse keeps the last of two equal keys and does not say so; only the text still knows.
function checkStructure(text: string): void {
  const open: Set<string>[] = [];
  let literal = "";
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    switch (token) {
      case "{":
      case "[":
        if (open.push(new Set()) > MAX_DEPTH) throw new CarillonError("malformed_body", TOO_DEEP);
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
      `line ${line()}: the key ${literal} stands twice in one object`,
    );
  }
  keys?.add(key);
}
