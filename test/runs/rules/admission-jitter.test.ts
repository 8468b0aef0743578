/** Tests of jitter: it stays within its bound, is the same on every node, and spreads jobs and slots. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { slotJitterMs } from "../../../src/runs/rules/admission.ts";

const SLOT = new Date("2026-03-01T09:00:00Z");

it("lies between 0 and its bound, and is always the same for one slot", () => {
  const bound = fc.integer({ min: 0, max: 3_600_000 });
  fc.assert(
    fc.property(fc.uuid(), fc.date({ noInvalidDate: true }), bound, (job, slot, maxMs) => {
      const ms = slotJitterMs(job, slot, maxMs);
      expect(ms).toBeGreaterThanOrEqual(0);
      expect(ms).toBeLessThanOrEqual(maxMs);
      expect(slotJitterMs(job, new Date(slot), maxMs)).toBe(ms);
    }),
  );
});

it.each<[string, (n: number) => number]>([
  ["jobs", (n) => slotJitterMs(`job-${n}`, SLOT, 9_999)],
  ["slots", (n) => slotJitterMs("job", new Date(SLOT.getTime() + n * 60_000), 9_999)],
])("spreads 10,000 %s evenly", (_what, jitter) => {
  const tenths = Array.from({ length: 10 }, () => 0);
  for (let n = 0; n < 10_000; n++) {
    const tenth = Math.floor(jitter(n) / 1_000);
    tenths[tenth] = (tenths[tenth] ?? 0) + 1;
  }
  // 1,000 expected, with a standard deviation of 30.
  expect(Math.min(...tenths)).toBeGreaterThan(800);
  expect(Math.max(...tenths)).toBeLessThan(1_200);
});
