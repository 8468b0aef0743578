/** Admission of runs: the limit, both policies and the bounded queue, by table and by property. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Concurrency, MAX_WAITING } from "../../../src/jobs/rules/definition.ts";
import {
  type Admission,
  admitRun,
  type Occupancy,
  occupancyAfter,
} from "../../../src/runs/rules/admission.ts";
import type { Trigger } from "../../../src/runs/rules/states.ts";

const NONE: Occupancy = { holding: 0, waiting: 0, waitingCron: 0 };
const QUEUE_1: Concurrency = { limit: 1, policy: "queue" };
const SKIP_1: Concurrency = { limit: 1, policy: "skip" };
const REPLACE_1: Concurrency = { limit: 1, policy: "replace" };
const UNLIMITED: Concurrency = { limit: null, policy: "queue" };

it.each<[what: string, Occupancy, Concurrency, Trigger, Admission["admit"]]>([
  ["a free place", NONE, QUEUE_1, "api", "start"],
  ["no limit, many at work", { ...NONE, holding: 500 }, UNLIMITED, "api", "start"],
  ["a full job that queues", { ...NONE, holding: 1 }, QUEUE_1, "api", "wait"],
  ["a full job that queues, by cron", { ...NONE, holding: 1 }, QUEUE_1, "cron", "wait"],
  ["a full job that skips", { ...NONE, holding: 1 }, SKIP_1, "job", "skip"],
  [
    "a cron run that waits, another slot",
    { holding: 1, waiting: 1, waitingCron: 1 },
    QUEUE_1,
    "cron",
    "skip",
  ],
  ["a full job that replaces", { ...NONE, holding: 1 }, REPLACE_1, "api", "wait"],
  [
    "a cron run that waits to replace, another slot",
    { holding: 1, waiting: 1, waitingCron: 1 },
    REPLACE_1,
    "cron",
    "wait",
  ],
  [
    "a cron run that waits, without any limit",
    { holding: 1, waiting: 1, waitingCron: 1 },
    UNLIMITED,
    "cron",
    "skip",
  ],
  [
    "a cron run that waits, a trigger by hand",
    { holding: 1, waiting: 1, waitingCron: 1 },
    QUEUE_1,
    "api",
    "wait",
  ],
  ["an API run that waits, a slot", { holding: 1, waiting: 1, waitingCron: 0 }, QUEUE_1, "cron", "wait"],
  ["a full queue, a trigger by hand", { ...NONE, waiting: MAX_WAITING }, QUEUE_1, "api", "refuse"],
  ["a full queue, a rerun", { ...NONE, waiting: MAX_WAITING }, QUEUE_1, "rerun", "refuse"],
  ["a full queue, a chain", { ...NONE, waiting: MAX_WAITING }, QUEUE_1, "job", "skip"],
  [
    "one less than a full queue",
    { holding: 1, waiting: MAX_WAITING - 1, waitingCron: 0 },
    QUEUE_1,
    "api",
    "wait",
  ],
])("%s", (_what, occupancy, concurrency, trigger, admit) => {
  expect(admitRun(occupancy, concurrency, trigger).admit).toBe(admit);
});

describe("whatever is triggered", () => {
  const concurrency = {
    limit: fc.option(fc.integer({ min: 1, max: 5 })),
    policy: fc.constantFrom("queue", "skip"),
  } as const;
  const triggers = fc.array(fc.constantFrom<Trigger>("cron", "api", "job", "rerun"), { maxLength: 60 });

  it("never starts more than the limit, and never lets more wait than the queue holds", () => {
    fc.assert(
      fc.property(
        concurrency.limit,
        concurrency.policy,
        fc.integer({ min: 0, max: MAX_WAITING }),
        triggers,
        (limit, policy, waiting, all) => {
          let occupancy: Occupancy = { ...NONE, waiting };
          for (const trigger of all) {
            const admission = admitRun(occupancy, { limit, policy }, trigger);
            occupancy = occupancyAfter(occupancy, admission, trigger);
            if (admission.admit === "skip") expect(admission.reason).not.toBe("");
            if (policy === "skip") expect(admission.admit).not.toBe("wait");
          }
          expect(occupancy.holding).toBeLessThanOrEqual(limit ?? Number.POSITIVE_INFINITY);
          expect(occupancy.waiting).toBeLessThanOrEqual(MAX_WAITING);
          expect(occupancy.waitingCron).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});
