/** A runner counts as hung after a long silence, or after a short one when a lease has expired. */
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

/** Advances the clock by so many ticks. */
const ticks = (count: number) => vi.advanceTimersByTime(count * TICK_MS + 1);

it("pings at once, and reports one silence when it hears nothing for the whole time", () => {
  watchdog();
  expect(pings).toBe(1);
  ticks(9);
  expect(barks).toBe(0);
  ticks(3);
  expect([pings, barks]).toEqual([1, 1]);
});

it("keeps pinging as long as it gets answers", () => {
  const { heard } = watchdog();
  for (let n = 1; n <= 30; n++) {
    heard();
    ticks(1);
    expect([pings, barks]).toEqual([n + 1, 0]);
  }
});

it("waits less only when a lease has expired", () => {
  const { heard } = watchdog();
  ticks(5);
  isLeaseExpired = true;
  heard();
  ticks(2);
  expect(barks).toBe(0);
  ticks(1);
  expect(barks).toBe(1);
});

it("does not count time in which our own process was stopped", () => {
  const { heard } = watchdog();
  ticks(9);
  // The timer is due, and the answer is waiting to be read.
  vi.advanceTimersToNextTimer();
  heard();
  vi.advanceTimersByTime(1);
  expect(barks).toBe(0);
});

it("stops when no command runs, and when it is stopped", () => {
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
