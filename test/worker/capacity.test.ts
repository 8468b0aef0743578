/** Tests of how many commands a worker starts while its machine lacks resources. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createCapacity } from "../../src/worker/capacity.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

it("pauses after a refusal, then allows as many as ran, and one more after each command that ran", () => {
  const capacity = createCapacity(10);
  expect(capacity.free(4)).toBe(6);
  capacity.refused(4);
  capacity.refused(4);
  expect(capacity.free(0)).toBe(0);
  vi.advanceTimersByTime(1_000);
  expect(capacity.free(3)).toBe(1);
  for (let n = 0; n < 20; n++) capacity.ran();
  expect(capacity.free(0)).toBe(10);
});

it("pauses for twice as long each time, at most 30 s, and always tries one command again", () => {
  const capacity = createCapacity(10);
  for (const pauseMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    capacity.refused(0);
    vi.advanceTimersByTime(pauseMs - 1);
    expect(capacity.free(0)).toBe(0);
    vi.advanceTimersByTime(1);
    expect(capacity.free(0)).toBe(1);
  }
});
