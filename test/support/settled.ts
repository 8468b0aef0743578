/** Builds settlements for the tests of the rule: of a run of the job coffee at noon. */
import { EVENTS, type EventName, type RetryPolicy } from "../../src/jobs/rules/definition.ts";
import {
  type Settlement,
  type SettlingAction,
  type SettlingRun,
  settle,
} from "../../src/runs/rules/settlement.ts";
import type { AttemptOutcome } from "../../src/runs/rules/states.ts";

const NOW = new Date("2023-04-01T12:00:05Z");
export const HOOK = "https://example.org/hook";
export const RUN: SettlingRun = {
  id: "018739e5-0000-7000-8000-000000000001",
  jobId: "job-coffee",
  jobName: "coffee",
  triggeredAt: new Date("2023-04-01T12:00:00Z"),
  triggeredBy: "CoffeeRequestButton",
  depth: 1,
  chainRuns: 1,
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
export const FAILED: AttemptOutcome = { state: "failed", status: 1 };
export const SUCCEEDED: AttemptOutcome = { state: "succeeded", status: 0 };

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

export function settled({
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
    chainRunLimit: 500,
    cancelRequested,
    log: "brewing\n",
    logTruncated: false,
    now: NOW,
    random: 0.5,
  });
}

export function notify(event: EventName, url: string, rest: Partial<SettlingAction> = {}): SettlingAction {
  return { level: "job", event, action: "notify_webhook", target: url, ...rest };
}

export function trigger(event: EventName, name: string, rest: Partial<SettlingAction> = {}): SettlingAction {
  const job = { id: `job-${name}`, enabled: true, deleted: false };
  return { level: "job", event, action: "trigger_job", target: name, job, ...rest };
}
