/** When a runner counts as hung: silent for long, or for less when a lease of its commands is over. */
import { beforeEach, expect, it, vi } from "vitest";
import { createWatchdog } from "../../src/worker/runner-watchdog.ts";

const TICK_MS = 500;
let isBusy: boolean;
let isLeaseExpired: boolean;
let pings: number;
let barks: number;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setImmediate", "clearImmediate"] });
  [isBusy, isLeaseExpired, pings, barks] = [true, false, 0, 0];
  return () => void vi.useRealTimers();
});

function watchdog() {
  const made = createWatchdog({
    confirmMs: 10 * TICK_MS,
    isBusy: () => isBusy,
    isLeaseExpired: () => isLeaseExpired,
    ping: () => void pings++,
    onSilence: () => void barks++,
  });
  made.watch();
  return made;
}

/** Runs what is due now and in so many ticks. */
const ticks = (count: number) => vi.advanceTimersByTime(count * TICK_MS + 1);

it("asks at once, and barks once when nothing was heard for the whole time", () => {
  watchdog();
  expect(pings).toBe(1);
  ticks(9);
  expect(barks).toBe(0);
  ticks(3);
  expect([pings, barks]).toEqual([1, 1]);
});

it("asks again and again as long as it is answered", () => {
  const { heard } = watchdog();
  for (let n = 1; n <= 30; n++) {
    heard();
    ticks(1);
    expect([pings, barks]).toEqual([n + 1, 0]);
  }
});

it("waits for little only when a lease is over", () => {
  const { heard } = watchdog();
  ticks(5);
  isLeaseExpired = true;
  heard();
  ticks(2);
  expect(barks).toBe(0);
  ticks(1);
  expect(barks).toBe(1);
});

it("takes nothing amiss when it was us who stood still", () => {
  const { heard } = watchdog();
  ticks(9);
  // The timer is due, and the answer waits to be read.
  vi.advanceTimersToNextTimer();
  heard();
  vi.advanceTimersByTime(1);
  expect(barks).toBe(0);
});

it("rests when nothing runs, and when it is stopped", () => {
  const { watch, stop } = watchdog();
  isBusy = false;
  ticks(20);
  expect([pings, barks, vi.getTimerCount()]).toEqual([1, 0, 0]);
  isBusy = true;
  watch();
  watch();
  expect([pings, vi.getTimerCount()]).toEqual([2, 1]);
  stop();
  ticks(20);
  expect([pings, barks]).toEqual([2, 0]);
});
