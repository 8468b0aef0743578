/** Tests of the admission of runs: the concurrency limit, its policies, the bounded queue and jitter. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Concurrency, MAX_WAITING } from "../../../src/jobs/rules/definition.ts";
import {
  type Admission,
  admitRun,
  type Occupancy,
  occupancyAfter,
  slotJitterMs,
} from "../../../src/runs/rules/admission.ts";
import type { Trigger } from "../../../src/runs/rules/states.ts";

const NONE: Occupancy = { holding: 0, waiting: 0, waitingCron: 0 };
const QUEUE_1: Concurrency = { limit: 1, policy: "queue" };
const SKIP_1: Concurrency = { limit: 1, policy: "skip" };
const REPLACE_1: Concurrency = { limit: 1, policy: "replace" };
const UNLIMITED: Concurrency = { limit: null, policy: "queue" };

it.each<[what: string, Occupancy, Concurrency, Trigger, Admission["admit"]]>([
  ["a free place", NONE, QUEUE_1, "api", "start"],
  ["no limit and many active runs", { ...NONE, holding: 500 }, UNLIMITED, "api", "start"],
  ["a full job with policy queue", { ...NONE, holding: 1 }, QUEUE_1, "api", "wait"],
  ["a full job with policy queue and a slot", { ...NONE, holding: 1 }, QUEUE_1, "cron", "wait"],
  ["a full job with policy skip", { ...NONE, holding: 1 }, SKIP_1, "job", "skip"],
  [
    "a waiting cron run and another slot",
    { holding: 1, waiting: 1, waitingCron: 1 },
    QUEUE_1,
    "cron",
    "skip",
  ],
  ["a full job with policy replace", { ...NONE, holding: 1 }, REPLACE_1, "api", "wait"],
  [
    "a waiting cron run with policy replace and another slot",
    { holding: 1, waiting: 1, waitingCron: 1 },
    REPLACE_1,
    "cron",
    "wait",
  ],
  [
    "a waiting cron run without a limit and another slot",
    { holding: 1, waiting: 1, waitingCron: 1 },
    UNLIMITED,
    "cron",
    "skip",
  ],
  [
    "a waiting cron run and a manual trigger",
    { holding: 1, waiting: 1, waitingCron: 1 },
    QUEUE_1,
    "api",
    "wait",
  ],
  ["a waiting API run and a slot", { holding: 1, waiting: 1, waitingCron: 0 }, QUEUE_1, "cron", "wait"],
  ["a full queue and a manual trigger", { ...NONE, waiting: MAX_WAITING }, QUEUE_1, "api", "refuse"],
  ["a full queue and a rerun", { ...NONE, waiting: MAX_WAITING }, QUEUE_1, "rerun", "refuse"],
  ["a full queue and a chain", { ...NONE, waiting: MAX_WAITING }, QUEUE_1, "job", "skip"],
  [
    "a queue with one free place",
    { holding: 1, waiting: MAX_WAITING - 1, waitingCron: 0 },
    QUEUE_1,
    "api",
    "wait",
  ],
])("admits with %s", (_what, occupancy, concurrency, trigger, admit) => {
  expect(admitRun(occupancy, concurrency, trigger).admit).toBe(admit);
});

describe("any sequence of triggers", () => {
  const concurrency = {
    limit: fc.option(fc.integer({ min: 1, max: 5 })),
    policy: fc.constantFrom("queue", "skip"),
  } as const;
  const triggers = fc.array(fc.constantFrom<Trigger>("cron", "api", "job", "rerun"), { maxLength: 60 });

  it("starts no more runs than the limit, and lets no more wait than the queue holds", () => {
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
            occupancy = occupancyAfter(occupancy, admission, { trigger, isDelayed: false });
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

it("counts a run that waits out its jitter as one that holds a place, but not as one that waits", () => {
  const delayed = occupancyAfter(NONE, { admit: "start" }, { trigger: "cron", isDelayed: true });
  expect(delayed).toEqual({ holding: 1, waiting: 0, waitingCron: 0 });
  expect(admitRun(delayed, UNLIMITED, "cron")).toEqual({ admit: "start" });
});

const SLOT = new Date("2026-03-01T09:00:00Z");

describe("jitter", () => {
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
});
