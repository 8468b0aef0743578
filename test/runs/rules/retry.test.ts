/** Tests of the retry policy: the delays between attempts, and which failures are retried. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { RetryPolicy } from "../../../src/jobs/rules/definition.ts";
import { isRetryable, retryDelayMs } from "../../../src/runs/rules/retry.ts";

const WEEK = 7 * 86_400_000;
const POLICY: RetryPolicy = {
  limit: 9,
  delayMs: 5_000,
  backoff: "constant",
  maxDelayMs: null,
  jitter: 0,
  exitCodes: [],
};

test.each([
  ["constant", {}, [5_000, 5_000, 5_000, 5_000]],
  ["exponential", { backoff: "exponential" }, [5_000, 10_000, 20_000, 40_000]],
  [
    "exponential up to max_delay",
    { backoff: "exponential", maxDelayMs: 15_000 },
    [5_000, 10_000, 15_000, 15_000],
  ],
  ["constant, longer than max_delay", { maxDelayMs: 1_000 }, [1_000, 1_000, 1_000, 1_000]],
] as const)("computes delays: %s", (_, policy, delays) => {
  expect(delays.map((_, attempt) => retryDelayMs({ ...POLICY, ...policy }, attempt, 0.5))).toEqual(delays);
});

test("limits a delay without max_delay to a week, even after a thousand attempts", () => {
  expect(retryDelayMs({ ...POLICY, backoff: "exponential" }, 1_100, 0.5)).toBe(WEEK);
  expect(retryDelayMs({ ...POLICY, backoff: "exponential", delayMs: 0 }, 1_100, 0.5)).toBe(0);
});

test("varies the delay by the jitter in both directions", () => {
  const policy = { ...POLICY, jitter: 0.2 };
  expect([0, 0.25, 0.5, 0.75, 1].map((random) => retryDelayMs(policy, 0, random))).toEqual([
    4_000, 4_500, 5_000, 5_500, 6_000,
  ]);
});

test("varies a delay that max_delay limits, but never beyond max_delay", () => {
  const policy = { ...POLICY, maxDelayMs: 1_000, jitter: 0.2 };
  expect([0, 0.25, 0.5, 0.75].map((random) => retryDelayMs(policy, 0, random))).toEqual([
    800, 900, 1_000, 1_000,
  ]);
});

test("returns whole ms from 0 to max_delay, within the jitter", () => {
  const anyPolicy = fc.record({
    limit: fc.constant(1_000),
    delayMs: fc.integer({ min: 0, max: 2 * WEEK }),
    backoff: fc.constantFrom("constant", "exponential"),
    maxDelayMs: fc.option(fc.integer({ min: 0, max: WEEK })),
    jitter: fc.nat(100).map((percent) => percent / 100),
    exitCodes: fc.constant([]),
  });
  const anyRandom = fc.nat(99).map((percent) => percent / 100);
  fc.assert(
    fc.property(anyPolicy, fc.nat(1_000), anyRandom, (policy, attempt, random) => {
      const delay = retryDelayMs(policy, attempt, random);
      const plain = retryDelayMs({ ...policy, jitter: 0 }, attempt, random);
      expect(Number.isSafeInteger(delay)).toBe(true);
      expect(delay).toBeLessThanOrEqual(policy.maxDelayMs ?? WEEK);
      expect(Math.abs(delay - plain)).toBeLessThanOrEqual(Math.ceil(plain * policy.jitter));
    }),
  );
});

test.each([
  ["any exit code without exit_codes: yes", "failed", 2, [], true],
  ["a listed exit code: yes", "failed", 75, [1, 75], true],
  ["an unlisted exit code: no", "failed", 2, [1, 75], false],
  ["a time-out, whatever exit_codes: yes", "timed_out", 124, [1], true],
  ["a failed start, whatever exit_codes: yes", "start_failed", 127, [1], true],
  ["a lost attempt, whatever exit_codes: yes", "lost", -1, [1], true],
])("decides whether to retry %s", (_, state, status, exitCodes, retryable) => {
  expect(isRetryable({ ...POLICY, exitCodes }, state, status)).toBe(retryable);
});
