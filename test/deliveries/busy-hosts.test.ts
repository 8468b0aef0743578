/** A host has a limited number of deliveries in progress, and one at a time while it is down; errands follow its state. */
import { expect, it } from "vitest";
import { createBusyHosts, type Place } from "../../src/deliveries/busy-hosts.ts";

const PLACES = 8;
/** Failures in a row that open a circuit. */
const FAILURES = 5;

/** Hosts with a clock of the test, and what became of each delivery that entered. */
function hosts() {
  const clock = { ms: 0 };
  let calls = 0;
  const busy = createBusyHosts(
    () => calls++,
    () => clock.ms,
  );
  const inProgress: Place[] = [];
  const back: string[] = [];
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const enter = (host: string, count = 1) => {
    for (let index = 0; index < count; index++) {
      void busy.enter(host).then((place) => {
        if (place === undefined) back.push(host);
        else inProgress.push(place);
      });
    }
    return settled();
  };
  const leaveAfter = (ms: number, isUp: boolean | undefined, count = inProgress.length) => {
    clock.ms += ms;
    for (const place of inProgress.splice(0, count)) place.leave(isUp);
    return settled();
  };
  /** Runs all errands that are due. */
  const errands = (changed = 1) => {
    const due = busy.takeErrands();
    for (const errand of due) busy.done(errand, changed);
    return due.map(({ host, task }) => `${task} ${host}`);
  };
  const goDown = async (host: string) => {
    await enter(host, FAILURES);
    await leaveAfter(10, false);
  };
  return { ...{ clock, busy, inProgress, back }, enter, leaveAfter, errands, goDown, calls: () => calls };
}

it("lets eight in, and the next one when one has left; other hosts are not affected", async () => {
  const { enter, leaveAfter, inProgress } = hosts();
  await enter("slow", PLACES + 1);
  expect(inProgress).toHaveLength(PLACES);
  await enter("other");
  expect(inProgress).toHaveLength(PLACES + 1);
  await leaveAfter(10, true, 1);
  expect(inProgress).toHaveLength(PLACES + 1);
});

it("takes more of a host the faster it is, and nothing more while it has enough", async () => {
  const { busy, enter, leaveAfter, calls } = hosts();
  const room = () => Array.from({ length: 200 }, (_, more) => busy.hasRoom("host", more)).indexOf(false);
  expect(room()).toBe(2 * PLACES);
  await enter("host", 2 * PLACES);
  expect([room(), busy.full()]).toEqual([0, ["host"]]);
  for (let round = 0; round < 2; round++) await leaveAfter(5, true);
  expect([room(), busy.full(), busy.mostToClaim()]).toEqual([64, [], Number.MAX_SAFE_INTEGER]);
  expect(calls()).toBe(1);
  await enter("host", 20);
  expect(busy.mostToClaim()).toBe(44);
});

it("puts back what waits for a host that turns out to be slow", async () => {
  const { enter, leaveAfter, inProgress, back } = hosts();
  await enter("slow", 2 * PLACES);
  await leaveAfter(15_000, true, 1);
  // One took the place that has become free, and one still waits.
  expect(inProgress).toHaveLength(PLACES);
  expect(back).toHaveLength(PLACES - 2);
});

it("holds the backlog of a host that fails, and tries one delivery after each wait", async () => {
  const { clock, busy, enter, leaveAfter, errands, inProgress, back } = hosts();
  await enter("dead", 2 * PLACES);
  await leaveAfter(15_000, false, FAILURES - 1);
  expect(errands()).toEqual([]);
  await leaveAfter(0, false);
  expect([errands(), busy.full()]).toEqual([["hold dead"], ["dead"]]);
  await leaveAfter(0, false);
  expect(inProgress).toEqual([]);
  const before = back.length;
  await enter("dead");
  expect(back).toHaveLength(before + 1);

  clock.ms += 1_000;
  expect([errands(), errands(), busy.full()]).toEqual([["probe dead"], [], []]);
  expect([busy.hasRoom("dead", 0), busy.hasRoom("dead", 1)]).toEqual([true, false]);
  await enter("dead", 2);
  expect([inProgress.length, back.length, busy.full()]).toEqual([1, before + 2, ["dead"]]);
  await leaveAfter(15_000, false);
  expect(errands()).toEqual(["hold dead"]);
  clock.ms += 1_999;
  expect(errands()).toEqual([]);
  clock.ms += 1;
  expect(errands()).toEqual(["probe dead"]);
});

it("lets all in again after one success", async () => {
  const { clock, busy, enter, leaveAfter, errands, inProgress, goDown } = hosts();
  await goDown("host");
  expect(errands()).toEqual(["hold host"]);
  clock.ms += 1_000;
  errands();
  await enter("host");
  await leaveAfter(10, true);
  expect([errands(), busy.full()]).toEqual([["release host"], []]);
  await enter("host", PLACES);
  expect(inProgress).toHaveLength(PLACES);
});

it("tries the next delivery at once when one has said nothing about the host", async () => {
  const { clock, enter, leaveAfter, errands, goDown } = hosts();
  await goDown("host");
  errands();
  clock.ms += 1_000;
  expect(errands()).toEqual(["probe host"]);
  await enter("host");
  await leaveAfter(10, undefined);
  expect(errands()).toEqual(["probe host"]);
});

it("repeats an errand that failed, one at a time, unless it is out of date", async () => {
  const { clock, busy, enter, leaveAfter, goDown } = hosts();
  await goDown("host");
  const [hold] = busy.takeErrands();
  if (hold === undefined) throw new Error("there is no errand");
  expect(busy.takeErrands()).toEqual([]);
  busy.done(hold, undefined);
  expect(busy.takeErrands()).toEqual([hold]);
  clock.ms += 1_000;
  busy.done(hold, 1);
  const [probe] = busy.takeErrands();
  if (probe === undefined) throw new Error("there is no errand");
  busy.done(probe, 1);
  await enter("host");
  await leaveAfter(10, false);
  const [again] = busy.takeErrands();
  expect(again).toEqual(hold);
  if (again) busy.done(again, undefined);
  expect(busy.takeErrands()).toEqual([hold]);
});

it("holds the backlog of a host that stalls, and lets a few come back with each try while it is slow", async () => {
  const { clock, enter, leaveAfter, errands } = hosts();
  await enter("slow", 2 * PLACES);
  clock.ms += 1_999;
  expect(errands()).toEqual([]);
  clock.ms += 1;
  expect(errands()).toEqual(["hold slow"]);
  await leaveAfter(8_000, true, 1);
  expect(errands()).toEqual([]);
  await leaveAfter(0, true);
  expect(errands(PLACES)).toEqual(["some slow"]);
  await enter("slow");
  await leaveAfter(8_000, true);
  expect(errands(PLACES - 1)).toEqual(["some slow"]);
  await enter("slow");
  await leaveAfter(8_000, true);
  expect(errands()).toEqual([]);
});

it("lets the whole backlog come back when a host that stalled is fast again", async () => {
  const { clock, enter, leaveAfter, errands } = hosts();
  await enter("host", 2 * PLACES);
  clock.ms += 1_000;
  await leaveAfter(1_000, true, 1);
  clock.ms += 2_000;
  expect(errands()).toEqual(["hold host"]);
  await leaveAfter(0, true);
  await leaveAfter(10, true);
  expect(errands()).toEqual(["release host"]);
  await enter("host");
  await leaveAfter(10, true);
  expect(errands()).toEqual([]);
});
