/** How long runs are kept, written freely as in a cheek file. */
import { expect, it } from "vitest";
import { retentionSchema } from "../../../src/api/schemas/fields.ts";

const DAY = 86_400_000;

it.each([
  ["30 days", 30 * DAY],
  [" 1D12H ", 1.5 * DAY],
  ["1 Hour\tand  30 minutes", 5_400_000],
])("%j is kept for %d ms", (text, ms) => {
  expect(retentionSchema.parse(text)).toBe(ms);
});

it.each(["", "0 days", "1500ms", "101 years", "5 potatoes"])("%j is refused", (text) => {
  expect(retentionSchema.safeParse(text).error?.issues[0]?.message).toMatch(
    /must be a duration such as 30 days/,
  );
});
