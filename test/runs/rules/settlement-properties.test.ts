/** Property tests of settlements: random jobs run to their end, and an oracle of docs/events.md checks every event. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { thawBody } from "../../../src/deliveries/rules/payloads.ts";
import { ACTIONS, EVENTS, type EventName, type RetryPolicy } from "../../../src/jobs/rules/definition.ts";
import { type SettledEvent, type SettlingAction, settle } from "../../../src/runs/rules/settlement.ts";
import {
  ATTEMPT_TRANSITIONS,
  type AttemptOutcome,
  isFinal,
  RUN_TRANSITIONS,
  type RunState,
} from "../../../src/runs/rules/states.ts";

const OWN_JOB = "coffee";
const START = new Date("2024-01-01T00:00:00Z");

interface World {
  retry: RetryPolicy;
  actions: SettlingAction[];
  outcomes: AttemptOutcome[];
  depth: number;
  fireEvents: boolean;
  /** The attempt during which the run is cancelled; undefined: never. */
  cancelledDuring: number | undefined;
}

interface Fired {
  attempt: number;
  fired: SettledEvent;
}

const anyRetry: fc.Arbitrary<RetryPolicy> = fc.record({
  limit: fc.integer({ min: 0, max: 4 }),
  delayMs: fc.integer({ min: 0, max: 60_000 }),
  backoff: fc.constantFrom("constant", "exponential"),
  maxDelayMs: fc.option(fc.integer({ min: 0, max: 100_000 })),
  jitter: fc.constantFrom(0, 0.2, 1),
  exitCodes: fc.subarray([1, 2, 75]),
});

const anyJobs = fc.record({
  [OWN_JOB]: fc.constant({ id: "job-coffee", enabled: true, deleted: false }),
  tea: fc.record({ id: fc.constant("job-tea"), enabled: fc.boolean(), deleted: fc.boolean() }),
  cleanup: fc.record({ id: fc.constant("job-cleanup"), enabled: fc.boolean(), deleted: fc.boolean() }),
});

const anyAction = fc.record({
  level: fc.constantFrom("job", "schedule"),
  event: fc.constantFrom(...EVENTS),
  action: fc.constantFrom(...ACTIONS),
  name: fc.constantFrom(OWN_JOB, "tea", "cleanup"),
});

const anyActions: fc.Arbitrary<SettlingAction[]> = fc
  .tuple(anyJobs, fc.array(anyAction, { maxLength: 20 }))
  .map(([jobs, actions]) =>
    actions.map(({ name, ...rest }) =>
      rest.action === "trigger_job"
        ? { ...rest, target: name, job: jobs[name] }
        : { ...rest, target: `https://example.org/${name}` },
    ),
  );

const anyOutcome: fc.Arbitrary<AttemptOutcome> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ state: fc.constant("failed"), status: fc.constantFrom(1, 2, 75) }) },
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      { state: "timed_out", status: 124 },
      { state: "start_failed", status: 126 },
      { state: "lost", status: -1 },
      { state: "handed_back", status: null },
      { state: "handed_back", status: null },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom({ state: "succeeded", status: 0 }, { state: "cancelled", status: -1 }),
  },
);

const anyWorld: fc.Arbitrary<World> = fc.record({
  retry: anyRetry,
  actions: anyActions,
  // The last outcome ends every run, however often it was handed back.
  outcomes: fc
    .array(anyOutcome, { maxLength: 12 })
    .map((outcomes) => [...outcomes, { state: "succeeded", status: 0 }]),
  depth: fc.integer({ min: 14, max: 16 }),
  fireEvents: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  cancelledDuring: fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, fc.integer({ min: 0, max: 4 })),
});

/** Applies outcomes one after another until the run is final, and checks every step. */
function runToTheEnd(world: World): { state: RunState; used: number; firings: Fired[] } {
  const firings: Fired[] = [];
  let state: RunState = "queued";
  let attempt = 0;
  let used = 0;
  const move = (to: RunState): void => {
    expect(RUN_TRANSITIONS[state]).toContain(to);
    state = to;
  };
  while (!isFinal(state)) {
    move("running");
    const cancelRequested = used === world.cancelledDuring;
    const outcome = world.outcomes[used++] as AttemptOutcome;
    expect(ATTEMPT_TRANSITIONS.running).toContain(outcome.state);
    const settlement = settleOnce(world, attempt, outcome, cancelRequested);
    expect(settlement.attempt).toBe(outcome);
    firings.push(...settlement.events.map((fired) => ({ attempt, fired })));
    move(settlement.run.state);
    if (settlement.run.state === "retrying") {
      expect(settlement.run.nextAttempt).toBe(attempt + 1);
      expect(settlement.run.nextAttemptAt.getTime()).toBeGreaterThanOrEqual(START.getTime());
      attempt = settlement.run.nextAttempt;
    }
  }
  expect(attempt).toBeLessThanOrEqual(world.retry.limit);
  return { state, used, firings };
}

function settleOnce(world: World, attempt: number, outcome: AttemptOutcome, cancelRequested: boolean) {
  const { retry, actions, depth, fireEvents } = world;
  const run = {
    id: "run",
    jobId: "job-coffee",
    jobName: OWN_JOB,
    triggeredAt: START,
    triggeredBy: "cron",
    depth,
    chainRuns: depth,
    attempt,
    fireEvents,
    parent: undefined,
  };
  return settle({
    run,
    retry,
    actions,
    outcome,
    chainRunLimit: 500,
    cancelRequested,
    log: "",
    logTruncated: false,
    now: START,
    random: 0.3,
  });
}

/** The oracle: applies the table in docs/events.md to a whole sequence of outcomes at once instead of step by step. */
function expected(world: World): { state: RunState; used: number; events: [attempt: number, EventName][] } {
  const { retry, outcomes, cancelledDuring } = world;
  const failures = (upTo: number): number =>
    outcomes.slice(0, upTo).filter(({ state }) => !["succeeded", "cancelled", "handed_back"].includes(state))
      .length;
  const last = outcomes.findIndex(({ state, status }, i) => {
    if (state === "succeeded" || state === "cancelled" || i === cancelledDuring) return true;
    if (failures(i + 1) > retry.limit) return true;
    return state === "failed" && retry.exitCodes.length > 0 && !retry.exitCodes.includes(status);
  });
  const ending = outcomes[last]?.state;
  const cancelled = ending !== "succeeded" && (ending === "cancelled" || last === cancelledDuring);
  // An attempt that a cancel ended fires nothing, whatever its outcome.
  const errors = failures(cancelled ? last : last + 1);
  const events: [number, EventName][] = Array.from({ length: errors }, (_, i) => [i, "on_error"]);
  if (ending === "succeeded")
    return { state: "succeeded", used: last + 1, events: [...events, [errors, "on_success"]] };
  if (cancelled) return { state: "cancelled", used: last + 1, events };
  if (retry.limit > 0) events.push([errors - 1, "on_retries_exhausted"]);
  return { state: "failed", used: last + 1, events };
}

/** The distinct actions of an event, except those of the schedule that would trigger the run's own job. */
function actionsOf(world: World, event: EventName): SettlingAction[] {
  const distinct = new Map<string, SettlingAction>();
  for (const action of world.fireEvents ? world.actions : []) {
    const circular =
      action.action === "trigger_job" && action.target === OWN_JOB && action.level === "schedule";
    if (action.event === event && !circular) distinct.set(`${action.action} ${action.target}`, action);
  }
  return [...distinct.values()];
}

test("ends a run in the state of its outcomes, after as many attempts as its policy allows", () => {
  fc.assert(
    fc.property(anyWorld, (world) => {
      const { state, used } = runToTheEnd(world);
      expect({ state, used }).toEqual({ state: expected(world).state, used: expected(world).used });
    }),
    { numRuns: 1_000 },
  );
});

test("fires each event for the attempts, in the order and as often as the oracle says", () => {
  fc.assert(
    fc.property(anyWorld, (world) => {
      const { firings } = runToTheEnd(world);
      expect(firings.map(({ attempt, fired }) => [attempt, fired.event])).toEqual(
        expected(world).events.filter(([, event]) => actionsOf(world, event).length > 0),
      );
      for (const { attempt, fired } of firings) {
        expect(thawBody(fired.body)).toMatchObject({
          event: fired.event,
          retry_attempt: attempt,
          retries_exhausted: fired.event === "on_retries_exhausted",
          triggered: fired.triggers.map(({ name }) => name),
        });
      }
    }),
    { numRuns: 1_000 },
  );
});

test("performs each distinct action of an event once: a delivery, a child run, or a refusal with a reason", () => {
  fc.assert(
    fc.property(anyWorld, (world) => {
      for (const { fired } of runToTheEnd(world).firings) {
        const actions = actionsOf(world, fired.event);
        const notified = actions.filter(({ action }) => action !== "trigger_job");
        const [startable, refused] = [true, false].map((wanted) =>
          actions
            .filter(({ job }) => job && (job.enabled && !job.deleted && world.depth < 16) === wanted)
            .map(({ target }) => target),
        );
        expect(fired.deliveries.map(({ action, url }) => `${action} ${url}`).sort()).toEqual(
          notified.map(({ action, target }) => `${action} ${target}`).sort(),
        );
        expect(fired.triggers.map(({ name }) => name).sort()).toEqual(startable?.sort());
        expect(fired.refusals.map(({ name }) => name).sort()).toEqual(refused?.sort());
      }
    }),
    { numRuns: 1_000 },
  );
});
