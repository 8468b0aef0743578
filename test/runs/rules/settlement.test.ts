/** Tests of settle by the table in docs/events.md: the next state, the events that fire, and what each does. */
import { describe, expect, test } from "vitest";
import { type EventBody, freezeBody, thawBody } from "../../../src/deliveries/rules/payloads.ts";
import { EVENTS, type EventName, type RetryPolicy } from "../../../src/jobs/rules/definition.ts";
import {
  type Settlement,
  type SettlingAction,
  type SettlingRun,
  settle,
} from "../../../src/runs/rules/settlement.ts";
import type { AttemptOutcome } from "../../../src/runs/rules/states.ts";

const NOW = new Date("2023-04-01T12:00:05Z");
const HOOK = "https://example.org/hook";
const RUN: SettlingRun = {
  id: "018739e5-0000-7000-8000-000000000001",
  jobId: "job-coffee",
  jobName: "coffee",
  triggeredAt: new Date("2023-04-01T12:00:00Z"),
  triggeredBy: "CoffeeRequestButton",
  depth: 1,
  attempt: 0,
  fireEvents: true,
  parent: undefined,
};
const RETRY: RetryPolicy = {
  limit: 0,
  delayMs: 5_000,
  backoff: "constant",
  maxDelayMs: null,
  jitter: 0,
  exitCodes: [],
};
const FAILED: AttemptOutcome = { state: "failed", status: 1 };
const SUCCEEDED: AttemptOutcome = { state: "succeeded", status: 0 };
const FAILURES: AttemptOutcome[] = [
  FAILED,
  { state: "timed_out", status: 124 },
  { state: "start_failed", status: 127 },
  { state: "lost", status: -1 },
];

/** One action per event, since an event without actions does not fire. */
const ONE_EACH = EVENTS.map((event) => notify(event, HOOK));

interface Case {
  outcome: AttemptOutcome;
  reason?: string;
  run?: Partial<SettlingRun>;
  retry?: Partial<RetryPolicy>;
  actions?: SettlingAction[];
  cancelRequested?: boolean;
}

function settled({
  outcome,
  reason,
  run,
  retry,
  actions = ONE_EACH,
  cancelRequested = false,
}: Case): Settlement {
  return settle({
    run: { ...RUN, ...run },
    retry: { ...RETRY, ...retry },
    actions,
    outcome,
    reason,
    cancelRequested,
    log: "brewing\n",
    logTruncated: false,
    now: NOW,
    random: 0.5,
  });
}

function notify(event: EventName, url: string, rest: Partial<SettlingAction> = {}): SettlingAction {
  return { level: "job", event, action: "notify_webhook", target: url, ...rest };
}

function trigger(event: EventName, name: string, rest: Partial<SettlingAction> = {}): SettlingAction {
  const job = { id: `job-${name}`, enabled: true, deleted: false };
  return { level: "job", event, action: "trigger_job", target: name, job, ...rest };
}

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
