/** A host has a limited number of deliveries in progress; the others wait, or are postponed when that takes too long. */
import { expect, it } from "vitest";
import { createBusyHosts, type NoPlace, type Place } from "../../src/deliveries/busy-hosts.ts";

const PLACES = 8;

/** Hosts with a clock of the test, and what became of each delivery that entered. */
function hosts() {
  const clock = { ms: 0 };
  const busy = createBusyHosts(() => clock.ms);
  const inProgress: Place[] = [];
  const postponed: number[] = [];
  const enter = (host: string, count = 1) => {
    for (let index = 0; index < count; index++) {
      void busy.enter(host).then((answer: Place | NoPlace) => {
        if ("postponeMs" in answer) postponed.push(answer.postponeMs);
        else inProgress.push(answer);
      });
    }
    return settled();
  };
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const leaveAfter = (ms: number, count = inProgress.length) => {
    clock.ms += ms;
    for (const place of inProgress.splice(0, count)) place.leave();
    return settled();
  };
  return { enter, leaveAfter, inProgress, postponed };
}

it("lets eight in, and the next one when one has left; other hosts are not affected", async () => {
  const { enter, leaveAfter, inProgress } = hosts();
  await enter("slow", PLACES + 1);
  expect(inProgress).toHaveLength(PLACES);
  await enter("other");
  expect(inProgress).toHaveLength(PLACES + 1);
  await leaveAfter(10, 1);
  expect(inProgress).toHaveLength(PLACES + 1);
});

it("postpones nothing of what a fast host takes soon", async () => {
  const { enter, leaveAfter, inProgress, postponed } = hosts();
  await enter("fast", 40);
  for (let round = 1; round <= 5; round++) {
    expect(inProgress).toHaveLength(PLACES);
    await leaveAfter(5);
  }
  expect([inProgress, postponed]).toEqual([[], []]);
});

it("postpones what waits for a host that turns out to be slow", async () => {
  const { enter, leaveAfter, inProgress, postponed } = hosts();
  await enter("dead", 40);
  expect(postponed).toEqual([]);
  await leaveAfter(15_000, 1);
  // One took the place that has become free; a few wait, and the rest comes back later.
  expect(inProgress).toHaveLength(PLACES);
  expect(postponed.length).toBeGreaterThan(20);
  expect(postponed.length).toBeLessThan(32);
});

it("spreads the postponed over the time that a slow host takes for them, up to a minute", async () => {
  const { enter, leaveAfter, postponed } = hosts();
  await enter("dead", PLACES);
  await leaveAfter(15_000, 1);
  await enter("dead", 10_000);
  expect(postponed[0]).toBeGreaterThanOrEqual(1_000);
  expect(postponed).toEqual(postponed.toSorted((a, b) => a - b));
  expect(Math.max(...postponed)).toBe(60_000);
});
