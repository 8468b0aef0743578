/** Which form of an answer an Accept header asks for. */
import { expect, it } from "vitest";
import { preferred } from "../../../src/api/views/accept.ts";

const JSON_TYPE = "application/json";
const TEXT = "text/plain";

it.each([
  [undefined, JSON_TYPE],
  ["", JSON_TYPE],
  ["*/*", JSON_TYPE],
  ["text/plain", TEXT],
  ["Text/Plain; charset=utf-8", TEXT],
  ["text/*", TEXT],
  ["text/html, */*;q=0.8", JSON_TYPE],
  ["application/json, text/plain, */*", JSON_TYPE],
  ["application/json;q=0.5, text/plain;q=0.9", TEXT],
  ["text/plain;q=0.1, */*", JSON_TYPE],
  ["text/plain;q=0", JSON_TYPE],
  ["application/json;q=x, text/plain", TEXT],
  ["image/png", JSON_TYPE],
])("takes %j for %s", (accept, type) => {
  expect(preferred({ headers: { accept } }, [JSON_TYPE, TEXT])).toBe(type);
});
