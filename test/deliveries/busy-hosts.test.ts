/** A host has a limited number of deliveries in progress; the others wait, longer the longer their line is. */
import { expect, it } from "vitest";
import { createBusyHosts } from "../../src/deliveries/busy-hosts.ts";

function hosts() {
  const clock = { ms: 0 };
  const busy = createBusyHosts(() => clock.ms);
  const enter = (host: string) => {
    const place = busy.enter(host);
    return "waitMs" in place ? place.waitMs : place;
  };
  return { clock, enter };
}

const PLACES = 8;

it("lets eight in, and one more when one has left; other hosts are not affected", () => {
  const { enter } = hosts();
  const places = Array.from({ length: PLACES }, () => enter("dead"));
  expect(places.every((place) => typeof place === "object")).toBe(true);
  expect(enter("dead")).toBeTypeOf("number");
  expect(enter("alive")).toBeTypeOf("object");
  const [first] = places;
  if (typeof first === "object") first.leave();
  expect(enter("dead")).toBeTypeOf("object");
  expect(enter("dead")).toBeTypeOf("number");
});

it("spreads a line over the time that a slow host takes for it, up to a minute", () => {
  const { enter, clock } = hosts();
  for (let place = 0; place < PLACES; place++) enter("dead");
  const waits = Array.from({ length: 10_000 }, () => Number(enter("dead")));
  expect(waits[0]).toBeGreaterThanOrEqual(1_000);
  expect(waits).toEqual(waits.toSorted((a, b) => a - b));
  expect(Math.max(...waits)).toBe(60_000);
  // The line moves up while time passes.
  clock.ms = 60_000;
  expect(Number(enter("dead"))).toBeLessThan(5_000);
});
