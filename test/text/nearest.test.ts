/** Tests of finding the known word that is nearest to a misspelt one. */
import { expect, test } from "vitest";
import { nearest } from "../../src/text/nearest.ts";

const KNOWN = ["cron", "command", "retries", "retry", "timeout", "env"];

test.each([
  ["crn", "cron"],
  ["corn", "cron"],
  ["Cron", "cron"],
  ["comand", "command"],
  ["timout", "timeout"],
  ["retrys", "retry"],
  ["evn", "env"],
  ["schedule", undefined],
  ["x", undefined],
  ["", undefined],
  ["command".repeat(1000), undefined],
])("%s -> %s", (word, meant) => {
  expect(nearest(word, KNOWN)).toBe(meant);
});
