/** Tests of settle by the table in docs/events.md: the next state, the events that fire, and their bodies. */
import { describe, expect, test } from "vitest";
import { type EventBody, freezeBody, thawBody } from "../../../src/deliveries/rules/payloads.ts";
import type { EventName } from "../../../src/jobs/rules/definition.ts";
import type { Settlement, SettlingAction } from "../../../src/runs/rules/settlement.ts";
import type { AttemptOutcome } from "../../../src/runs/rules/states.ts";
import { FAILED, HOOK, notify, SUCCEEDED, settled, trigger } from "../../support/settled.ts";

const FAILURES: AttemptOutcome[] = [
  FAILED,
  { state: "timed_out", status: 124 },
  { state: "start_failed", status: 127 },
  { state: "lost", status: -1 },
];

function eventsOf({ events }: Settlement): [EventName, exhausted: boolean][] {
  return events.map(({ event, body }) => [event, thawBody(body).retries_exhausted]);
}

describe("an attempt", () => {
  test("that succeeded fires on_success", () => {
    const settlement = settled({ outcome: SUCCEEDED, retry: { limit: 3 }, run: { attempt: 3 } });
    expect(settlement.run).toEqual({ state: "succeeded", status: 0, retriesExhausted: false });
    expect(eventsOf(settlement)).toEqual([["on_success", false]]);
  });

  describe.each(FAILURES)("that is $state", (outcome) => {
    test("with retries left fires on_error and is retried", () => {
      const settlement = settled({ outcome, retry: { limit: 3 }, run: { attempt: 2 } });
      const nextAttemptAt = new Date("2023-04-01T12:00:10Z");
      expect(settlement.run).toEqual({
        state: "retrying",
        status: outcome.status,
        nextAttempt: 3,
        nextAttemptAt,
      });
      expect(eventsOf(settlement)).toEqual([["on_error", false]]);
    });

    test("as the last of several fires on_error, then on_retries_exhausted", () => {
      const settlement = settled({ outcome, retry: { limit: 3 }, run: { attempt: 3 } });
      expect(settlement.run).toEqual({ state: "failed", status: outcome.status, retriesExhausted: true });
      expect(eventsOf(settlement)).toEqual([
        ["on_error", false],
        ["on_retries_exhausted", true],
      ]);
    });

    test("of a job without retries fires on_error alone", () => {
      const settlement = settled({ outcome });
      expect(settlement.run).toEqual({ state: "failed", status: outcome.status, retriesExhausted: false });
      expect(eventsOf(settlement)).toEqual([["on_error", false]]);
    });
  });

  test.each([
    ["a code outside exit_codes fails at once", { state: "failed", status: 2 }, 3, "failed", 2],
    ["a code outside exit_codes, no retries", { state: "failed", status: 2 }, 0, "failed", 1],
    ["a code inside exit_codes", { state: "failed", status: 75 }, 3, "retrying", 1],
    ["a time-out, which has no exit code", { state: "timed_out", status: 124 }, 3, "retrying", 1],
    ["a failed start, which has none", { state: "start_failed", status: 126 }, 3, "retrying", 1],
    ["a lost attempt, which has none", { state: "lost", status: -1 }, 3, "retrying", 1],
  ] as const)("follows exit_codes: %s", (_, outcome, limit, state, events) => {
    const settlement = settled({ outcome, retry: { limit, exitCodes: [1, 75] } });
    expect(settlement.run).toMatchObject({ state, status: outcome.status });
    expect(eventsOf(settlement).map(([event]) => event)).toEqual(
      ["on_error", "on_retries_exhausted"].slice(0, events),
    );
  });

  test("that was cancelled fires nothing and is not retried", () => {
    const settlement = settled({ outcome: { state: "cancelled", status: -1 }, retry: { limit: 3 } });
    expect(settlement.run).toEqual({ state: "cancelled", status: -1, retriesExhausted: false });
    expect(settlement.events).toEqual([]);
  });

  test("that was handed back is queued again with the same number, and fires nothing", () => {
    const settlement = settled({ outcome: { state: "handed_back", status: null }, retry: { limit: 3 } });
    expect(settlement.run).toEqual({ state: "queued" });
    expect(settlement.events).toEqual([]);
  });
});

describe("after a cancel request", () => {
  test.each<[AttemptOutcome, number]>([
    ...FAILURES.map((outcome): [AttemptOutcome, number] => [outcome, outcome.status ?? NaN]),
    [{ state: "cancelled", status: -1 }, -1],
    [{ state: "handed_back", status: null }, -1],
  ])("the attempt %o ends the run without a retry or event", (outcome, status) => {
    const settlement = settled({ outcome, cancelRequested: true, retry: { limit: 3 } });
    expect(settlement.attempt).toEqual(outcome);
    expect(settlement.run).toEqual({ state: "cancelled", status, retriesExhausted: false });
    expect(settlement.events).toEqual([]);
  });

  test("a command that had already succeeded still fires on_success", () => {
    const settlement = settled({ outcome: SUCCEEDED, cancelRequested: true });
    expect(settlement).toEqual(settled({ outcome: SUCCEEDED }));
    expect(eventsOf(settlement)).toEqual([["on_success", false]]);
  });
});

describe("the actions of an event", () => {
  test("are those of the job and of its schedule, and none of another event", () => {
    const actions = [
      notify("on_error", `${HOOK}/job`),
      notify("on_success", `${HOOK}/other`),
      notify("on_error", `${HOOK}/all`, { level: "schedule", action: "notify_slack_webhook" }),
      trigger("on_error", "cleanup", { level: "schedule" }),
    ];
    expect(settled({ outcome: FAILED, actions }).events).toEqual([
      expect.objectContaining({
        event: "on_error",
        deliveries: [
          { action: "notify_webhook", url: `${HOOK}/job` },
          { action: "notify_slack_webhook", url: `${HOOK}/all` },
        ],
        triggers: [{ jobId: "job-cleanup", name: "cleanup", triggeredBy: "job[coffee]" }],
        refusals: [],
      }),
    ]);
  });

  test("fire once when both levels name the same action, and twice when only the URL is the same", () => {
    const both = (action: SettlingAction): SettlingAction[] => [action, { ...action, level: "schedule" }];
    const actions = [
      ...both(notify("on_success", HOOK)),
      ...both(trigger("on_success", "tea")),
      notify("on_success", HOOK, { action: "notify_discord_webhook" }),
    ];
    const [fired] = settled({ outcome: SUCCEEDED, actions }).events;
    expect(fired?.deliveries).toEqual([
      { action: "notify_webhook", url: HOOK },
      { action: "notify_discord_webhook", url: HOOK },
    ]);
    expect(fired?.triggers.map(({ name }) => name)).toEqual(["tea"]);
  });

  test("must exist: an event without actions does not fire", () => {
    expect(settled({ outcome: SUCCEEDED, actions: [notify("on_error", HOOK)] }).events).toEqual([]);
  });

  test("do not fire when the run was triggered with events: false, and the state is the same", () => {
    const settlement = settled({ outcome: FAILED, retry: { limit: 1 }, run: { fireEvents: false } });
    expect(settlement.events).toEqual([]);
    expect(settlement.run.state).toBe("retrying");
  });
});

test("tells in the body why the attempt did not end by itself", () => {
  const reason = "timed out after 10m";
  const [fired] = settled({ outcome: { state: "timed_out", status: 124 }, reason }).events;
  expect(thawBody(fired?.body ?? "")).toMatchObject({ status: 124, reason });
  const [failed] = settled({ outcome: FAILED }).events;
  expect(thawBody(failed?.body ?? "")).not.toHaveProperty("reason");
});

test("builds the body of an event from the run's present state and the body of its parent event", () => {
  const [parentEvent] = settled({ outcome: SUCCEEDED, actions: [trigger("on_success", "tea")] }).events;
  const parent = thawBody(parentEvent?.body ?? "");
  const run = { id: "child", jobName: "tea", triggeredBy: "job[coffee]", depth: 2, attempt: 1, parent };
  const [fired] = settled({ outcome: FAILED, retry: { limit: 3 }, run }).events;
  const body: EventBody = {
    status: 1,
    log: "brewing\n",
    name: "tea",
    triggered_at: "2023-04-01T12:00:00.000Z",
    triggered_by: "job[coffee]",
    triggered: [],
    retry_attempt: 1,
    retries_exhausted: false,
    event: "on_error",
    run_id: "child",
    log_truncated: false,
    triggered_by_job_run: parent,
  };
  expect(thawBody(fired?.body ?? "")).toEqual(body);
  expect(fired?.body).toBe(freezeBody(body));
});
