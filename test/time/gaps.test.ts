/** Tests of the smallest gap between slots. */
import { expect, it } from "vitest";
import { parseCron } from "../../src/time/cron.ts";
import { smallestGapMs } from "../../src/time/gaps.ts";

const MINUTE = 60_000;

it.each<[string[], number]>([
  [["*/5 * * * * *"], 5_000],
  [["*/7 * * * *"], 4 * MINUTE],
  [["0 9 * * *"], 24 * 60 * MINUTE],
  [["0 9 * * *", "10 9 * * *"], 10 * MINUTE],
  [["0 0 29 2 *"], Number.POSITIVE_INFINITY],
  [["50 23 31 12 *", "0 0 1 1 *"], 366 * 24 * 60 * MINUTE - 10 * MINUTE],
])("of %j is %d ms", (crons, gap) => {
  expect(smallestGapMs(crons.map(parseCron))).toBe(gap);
});
