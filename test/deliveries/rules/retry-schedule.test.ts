/** Tests of the retry schedule of a delivery (promise 6). */
import fc from "fast-check";
import { expect, test } from "vitest";
import { DELIVERY_DELAYS_MS, deliveryDelayMs } from "../../../src/deliveries/rules/retry-schedule.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

test("allows nine tries after 0, 5s, 30s, 5m, 30m, 2h, 5h, 10h and 10h, and then gives up", () => {
  expect(Array.from({ length: 10 }, (_, tries) => deliveryDelayMs(tries, 0.5))).toEqual([
    0,
    5 * SECOND,
    30 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    10 * HOUR,
    undefined,
  ]);
});

test("uses other delays when they are given", () => {
  expect([0, 1, 2].map((tries) => deliveryDelayMs(tries, 0.5, [0, 20]))).toEqual([0, 20, undefined]);
});

test("varies each delay by up to 20 % in both directions", () => {
  expect([0, 0.25, 0.75, 1].map((random) => deliveryDelayMs(1, random))).toEqual([
    4_000, 4_500, 5_500, 6_000,
  ]);
  const anyTries = fc.nat(DELIVERY_DELAYS_MS.length - 1);
  const anyRandom = fc.nat(99).map((percent) => percent / 100);
  fc.assert(
    fc.property(anyTries, anyRandom, (tries, random) => {
      const plain = DELIVERY_DELAYS_MS[tries] ?? Number.NaN;
      const delay = deliveryDelayMs(tries, random) ?? Number.NaN;
      expect(Number.isSafeInteger(delay)).toBe(true);
      expect(Math.abs(delay - plain)).toBeLessThanOrEqual(plain / 5);
    }),
  );
});
