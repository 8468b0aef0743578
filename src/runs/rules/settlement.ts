/** Decides what follows from the end of an attempt: the next state, events, deliveries and child runs. */
import { type EventBody, freezeBody } from "../../deliveries/rules/payloads.ts";
import { MAX_CHAIN } from "../../jobs/rules/chains.ts";
import {
  type ActionName,
  type ActionOptions,
  actionOptions,
  type EventName,
  type NotifyAction,
  type RetryPolicy,
} from "../../jobs/rules/definition.ts";
import { isRetryable, retryDelayMs } from "./retry.ts";
import type { AttemptOutcome } from "./states.ts";

/** The run at the end of its attempt. */
export interface SettlingRun {
  id: string;
  jobId: string;
  jobName: string;
  triggeredAt: Date;
  triggeredBy: string;
  /** Its position in the chain; 1: no other run triggered it. */
  depth: number;
  /** How many runs its chain has so far. */
  chainRuns: number;
  /** The number of the attempt that ended; 0 is the first. */
  attempt: number;
  /** false: the trigger switched the actions off. */
  fireEvents: boolean;
  /** The body of the event that triggered the run, as it was at that time. */
  parent: EventBody | undefined;
}

/** An action of the job or of its schedule. */
export interface SettlingAction extends ActionOptions {
  level: "job" | "schedule";
  event: EventName;
  action: ActionName;
  /** The URL, or the name of the job to trigger. */
  target: string;
  /** The current state of the job to trigger. */
  job?: { id: string; enabled: boolean; deleted: boolean };
}

/** What follows from the end of an attempt. */
export interface Settlement {
  attempt: AttemptOutcome;
  run:
    | { state: "succeeded" | "failed" | "cancelled"; status: number; retriesExhausted: boolean }
    | { state: "retrying"; status: number; nextAttempt: number; nextAttemptAt: Date }
    | { state: "queued" };
  /** The events that have actions, in the order in which they fire. Events without actions are not stored. */
  events: SettledEvent[];
}

/** An event that fires, with the effects of its actions. */
export interface SettledEvent {
  event: EventName;
  /** The frozen body: deliveries send it, and the runs that it triggers show it. */
  body: string;
  deliveries: ({ action: NotifyAction; url: string } & ActionOptions)[];
  triggers: { jobId: string; name: string; triggeredBy: string }[];
  /** trigger_job actions that create no run, and why. */
  refusals: { name: string; reason: string }[];
}

/**
 * The whole settlement of one attempt, by the table in docs/events.md.
 * @param random a number in [0, 1) that chooses the jitter of the retry delay
 */
export function settle(input: {
  run: SettlingRun;
  retry: RetryPolicy;
  actions: readonly SettlingAction[];
  outcome: AttemptOutcome;
  /** Why the attempt did not end by itself. */
  reason?: string | undefined;
  /** The most runs in one chain. */
  chainRunLimit: number;
  /** A caller or a newer run asked to cancel the run: it is neither retried nor queued again. */
  cancelRequested: boolean;
  log: string;
  logTruncated: boolean;
  now: Date;
  random: number;
}): Settlement {
  const { run, retry, outcome } = input;
  const decision = input.cancelRequested
    ? decideCancelled(outcome)
    : decide(run.attempt, retry, outcome, input.now, input.random);
  const actions = run.fireEvents ? input.actions : [];
  const room = { left: input.chainRunLimit - run.chainRuns, limit: input.chainRunLimit };
  const events = decision.events.flatMap((event) => {
    const own = actions.filter((a) => a.event === event && !retriggersItself(a, run.jobId));
    return own.length === 0 ? [] : [settleEvent(event, own, input, room)];
  });
  return { attempt: outcome, run: decision.run, events };
}

interface Decision {
  run: Settlement["run"];
  events: EventName[];
}

const SUCCEEDED: Decision = {
  run: { state: "succeeded", status: 0, retriesExhausted: false },
  events: ["on_success"],
};

/** A command that succeeded before the cancellation reached it counts as succeeded. */
function decideCancelled(outcome: AttemptOutcome): Decision {
  if (outcome.state === "succeeded") return SUCCEEDED;
  return { run: { state: "cancelled", status: outcome.status ?? -1, retriesExhausted: false }, events: [] };
}

function decide(
  attempt: number,
  retry: RetryPolicy,
  outcome: AttemptOutcome,
  now: Date,
  random: number,
): Decision {
  switch (outcome.state) {
    case "succeeded":
      return SUCCEEDED;
    case "cancelled":
      return decideCancelled(outcome);
    case "handed_back":
      return { run: { state: "queued" }, events: [] };
    case "failed":
    case "timed_out":
    case "start_failed":
    case "lost": {
      const { status } = outcome;
      if (attempt < retry.limit && isRetryable(retry, outcome.state, status)) {
        const nextAttemptAt = new Date(now.getTime() + retryDelayMs(retry, attempt, random));
        return {
          run: { state: "retrying", status, nextAttempt: attempt + 1, nextAttemptAt },
          events: ["on_error"],
        };
      }
      const retriesExhausted = retry.limit > 0;
      return {
        run: { state: "failed", status, retriesExhausted },
        events: retriesExhausted ? ["on_error", "on_retries_exhausted"] : ["on_error"],
      };
    }
  }
}

/** How many more runs a chain may have; each new run takes one. */
interface ChainRoom {
  left: number;
  readonly limit: number;
}

function settleEvent(
  event: EventName,
  actions: readonly SettlingAction[],
  input: {
    run: SettlingRun;
    outcome: AttemptOutcome;
    reason?: string | undefined;
    log: string;
    logTruncated: boolean;
  },
  room: ChainRoom,
): SettledEvent {
  const { run, reason: why } = input;
  // An action on both levels fires once, with the options from the job.
  const distinct = [
    ...new Map(actions.toReversed().map((a) => [`${a.action} ${a.target}`, a])).values(),
  ].toReversed();
  const triggers: SettledEvent["triggers"] = [];
  const refusals: SettledEvent["refusals"] = [];
  const deliveries: SettledEvent["deliveries"] = [];
  for (const one of distinct) {
    const { action, target, job } = one;
    if (action !== "trigger_job") {
      deliveries.push({ action, url: target, ...actionOptions(one) });
      continue;
    }
    const reason = refusal(job, run.depth, room);
    if (reason !== undefined) refusals.push({ name: target, reason });
    else if (job !== undefined) {
      room.left--;
      triggers.push({ jobId: job.id, name: target, triggeredBy: childLabel(event, run.jobName) });
    }
  }
  const body: EventBody = {
    status: input.outcome.status,
    log: input.log,
    name: run.jobName,
    triggered_at: run.triggeredAt.toISOString(),
    triggered_by: run.triggeredBy,
    triggered: triggers.map((t) => t.name),
    retry_attempt: run.attempt,
    retries_exhausted: event === "on_retries_exhausted",
    event,
    run_id: run.id,
    log_truncated: input.logTruncated,
    ...(why === undefined ? {} : { reason: why }),
    ...(run.parent === undefined ? {} : { triggered_by_job_run: run.parent }),
  };
  return { event, body: freezeBody(body), deliveries, triggers, refusals };
}

function retriggersItself(action: SettlingAction, jobId: string): boolean {
  return action.level === "schedule" && action.job?.id === jobId;
}

function refusal(job: SettlingAction["job"], depth: number, room: ChainRoom): string | undefined {
  if (job === undefined || job.deleted) return "the job has been deleted";
  if (!job.enabled) return "the job is disabled";
  if (depth >= MAX_CHAIN) return `a chain is at most ${MAX_CHAIN} runs deep`;
  if (room.left <= 0) return `a chain has at most ${room.limit} runs (CHAIN_RUN_LIMIT)`;
  return undefined;
}

/** The `triggered_by` of a run that an event of job `parent` triggers. */
function childLabel(event: EventName, parent: string): string {
  return event === "on_retries_exhausted" ? `retries_exhausted[${parent}]` : `job[${parent}]`;
}
