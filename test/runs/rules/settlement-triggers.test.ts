/** Tests of settle: which jobs an event triggers, and why it triggers some not. */
import { describe, expect, test } from "vitest";
import { thawBody } from "../../../src/deliveries/rules/payloads.ts";
import { FAILED, RUN, SUCCEEDED, settled, trigger } from "../../support/settled.ts";

describe("trigger_job", () => {
  test("labels its runs by the event, and is named in the body of that event", () => {
    const actions = [
      trigger("on_error", "mop"),
      trigger("on_retries_exhausted", "order-tea"),
      trigger("on_retries_exhausted", "call-bert"),
    ];
    const settlement = settled({ outcome: FAILED, retry: { limit: 1 }, run: { attempt: 1 }, actions });
    expect(settlement.events.map(({ triggers }) => triggers.map(({ triggeredBy }) => triggeredBy))).toEqual([
      ["job[coffee]"],
      ["retries_exhausted[coffee]", "retries_exhausted[coffee]"],
    ]);
    expect(settlement.events.map(({ body }) => thawBody(body).triggered)).toEqual([
      ["mop"],
      ["order-tea", "call-bert"],
    ]);
  });

  test("stop at the limit of runs in a chain, over all events of the settlement", () => {
    const actions = [
      trigger("on_error", "mop"),
      trigger("on_error", "tea"),
      trigger("on_retries_exhausted", "call-bert"),
    ];
    const run = { attempt: 1, chainRuns: 498 };
    const { events } = settled({ outcome: FAILED, retry: { limit: 1 }, run, actions });
    expect(events.map(({ triggers }) => triggers.map(({ name }) => name))).toEqual([["mop", "tea"], []]);
    const reason = "a chain has at most 500 runs (CHAIN_RUN_LIMIT)";
    expect(events.map(({ refusals }) => refusals)).toEqual([[], [{ name: "call-bert", reason }]]);
  });

  test("of the schedule never re-triggers the job that it names, and fires no event alone", () => {
    const actions = [trigger("on_success", "coffee", { level: "schedule" })];
    expect(settled({ outcome: SUCCEEDED, actions }).events).toEqual([]);
    const withTea = [...actions, trigger("on_success", "tea", { level: "schedule" })];
    const [fired] = settled({ outcome: SUCCEEDED, actions: withTea }).events;
    expect(fired).toMatchObject({ triggers: [{ name: "tea" }], refusals: [] });
  });

  test("of a job may name the job itself", () => {
    const [fired] = settled({ outcome: SUCCEEDED, actions: [trigger("on_success", "coffee")] }).events;
    expect(fired?.triggers).toEqual([{ jobId: RUN.jobId, name: "coffee", triggeredBy: "job[coffee]" }]);
  });

  test.each([
    ["deleted", { id: "job-tea", enabled: true, deleted: true }, 1, /deleted/],
    ["disabled", { id: "job-tea", enabled: false, deleted: false }, 1, /disabled/],
    ["the 17th of its chain", { id: "job-tea", enabled: true, deleted: false }, 16, /at most 16/],
  ])("refuses a job that is %s with a reason, and leaves it out of the body", (_, job, depth, reason) => {
    const actions = [trigger("on_success", "tea", { job })];
    const [fired] = settled({ outcome: SUCCEEDED, actions, run: { depth } }).events;
    expect(fired?.triggers).toEqual([]);
    expect(fired?.refusals).toEqual([{ name: "tea", reason: expect.stringMatching(reason) }]);
    expect(thawBody(fired?.body ?? "").triggered).toEqual([]);
  });

  test("creates the 16th run of a chain", () => {
    const actions = [trigger("on_success", "tea")];
    const [fired] = settled({ outcome: SUCCEEDED, actions, run: { depth: 15 } }).events;
    expect(fired).toMatchObject({ triggers: [{ name: "tea" }], refusals: [] });
  });
});
