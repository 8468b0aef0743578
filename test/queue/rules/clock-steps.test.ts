/** Tests of steps of the database's clock, as two looks tell them. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { type ClockLook, clockStepMs } from "../../../src/queue/rules/clock-steps.ts";

const EPOCH = Date.parse("2030-01-07T12:00:00Z");

/** A look that took `tookMs`; the database read its clock somewhere in that time. */
const look = (askedMs: number, databaseMs: number, tookMs = 4): ClockLook => ({
  databaseMs: EPOCH + databaseMs,
  askedMs,
  answeredMs: askedMs + tookMs,
});

it.each([
  ["no step", look(3_000, 3_002), 0],
  ["a step ahead by 30 s", look(3_000, 33_002), 29_996],
  ["a step back by an hour", look(3_000, 3_002 - 3_600_000), -3_599_996],
  ["half a second, which does no harm", look(3_000, 3_502), 0],
  ["a slow answer, which explains 8 s", look(3_000, 11_000, 8_000), 0],
])("tells %s", (_, now, step) => {
  expect(clockStepMs(look(0, 2), now)).toBe(step);
});

it("never tells a step when there was none, and always one that is larger than its doubt", () => {
  const time = fc.integer({ min: 0, max: 20_000 });
  fc.assert(
    fc.property(
      time,
      time,
      time,
      fc.integer({ min: -100_000, max: 100_000 }),
      (pause, first, second, step) => {
        const before = look(0, first / 2, first);
        const now = look(first + pause, first + pause + second / 2 + step, second);
        const told = clockStepMs(before, now);
        const doubt = first + second + 1_000;
        if (step === 0) expect(told).toBe(0);
        if (Math.abs(step) > doubt) expect(Math.sign(told)).toBe(Math.sign(step));
        expect(Math.abs(told)).toBeLessThanOrEqual(Math.abs(step));
      },
    ),
  );
});
