/** Tests of the agenda, which merges the slots of many jobs: the result equals all slots, sorted and cut. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { createAgenda } from "../../src/time/agenda.ts";
import { parseCron } from "../../src/time/cron.ts";
import { dueSlots } from "../../src/time/slots.ts";

const after = new Date("2026-03-28T23:30:00Z");
const crons = fc.constantFrom(
  "* * * * * *",
  "* * * * *",
  "*/7 * * * *",
  "30 2 * * *",
  "@hourly",
  "0 0 1 1 *",
);
const zones = fc.constantFrom("UTC", "Europe/Brussels", "Australia/Lord_Howe");

it("returns the earliest slots of all jobs, and whether there are more", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(crons, zones), { maxLength: 12 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 0, max: 3 * 3_600 }),
      (jobs, limit, seconds) => {
        const until = new Date(after.getTime() + seconds * 1_000);
        const agenda = createAgenda<number>({ after, until, limit });
        const all = jobs.flatMap(([cron, zone], job) => {
          agenda.add(job, [parseCron(cron)], zone);
          return dueSlots({ crons: [parseCron(cron)], zone, after, until }).map((at) => ({ at, job }));
        });
        all.sort((a, b) => a.at.getTime() - b.at.getTime());
        expect(agenda.read()).toEqual({ items: all.slice(0, limit), truncated: all.length > limit });
      },
    ),
    { numRuns: 60 },
  );
});

it("computes few slots of many busy jobs", () => {
  const everySecond = parseCron("@everysecond");
  let asked = 0;
  const counting = {
    ...everySecond,
    get seconds() {
      asked += 1;
      return everySecond.seconds;
    },
  };
  const agenda = createAgenda<number>({
    after,
    until: new Date(after.getTime() + 7 * 86_400_000),
    limit: 100,
  });
  for (let job = 0; job < 1_000; job++) agenda.add(job, [counting], "UTC");
  const { items, truncated } = agenda.read();
  expect([items.length, truncated, new Set(items.map((item) => item.at.getTime())).size]).toEqual([
    100,
    true,
    1,
  ]);
  // Each read of the field computes a minute of slots. Nearly all jobs needed only their first second.
  expect(asked).toBeLessThan(3_000);
});
