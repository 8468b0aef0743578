/** Converts runs to responses. */
import type { z } from "zod";
import { type EventBody, thawBody } from "../../deliveries/rules/payloads.ts";
import type { FullRun, RunDetail, RunSummary } from "../../runs/read.ts";
import { endInBytes } from "../../text/cuts.ts";
import type { ParentRun, runSchema, runSummarySchema } from "../schemas/run.ts";
import { deliveryView } from "./delivery.ts";

/** Maximum size of `log` in a run; `/runs/{id}/log` returns the whole log. */
export const LOG_BYTES = 64 * 1024;

type Summary = z.input<typeof runSummarySchema>;
type Run = z.input<typeof runSchema>;

/** Returns a run in a list. */
export function runSummaryView(run: RunSummary): Summary {
  return { ...commonView(run), ...parentView(run) };
}

/** Returns a run with all its fields. */
export function runView({ run, log, omittedBytes }: FullRun): Run {
  const shown = endInBytes(log, LOG_BYTES);
  return {
    ...commonView(run),
    env: run.env as Record<string, string>,
    attempts: run.attempts.map(attemptView),
    deliveries: run.events.flatMap((event) => event.deliveries.map((one) => deliveryView(event, one))),
    log: shown,
    log_truncated: omittedBytes > 0 || shown !== log,
    ...(run.parentEvent && { triggered_by_job_run: frozenParentView(thawBody(run.parentEvent.body)) }),
  };
}

function commonView(run: RunSummary): Omit<Summary, "triggered_by_job_run"> {
  const children = run.events.flatMap(({ event, children: runs }) =>
    runs.map(({ id, state, job }) => ({ id, name: job.name, event, state })),
  );
  return {
    id: run.id,
    name: run.job.name,
    schedule: run.job.schedule.name,
    revision: run.revision.number,
    state: run.state,
    status: run.status,
    triggered_at: run.triggeredAt.toISOString(),
    triggered_by: run.triggeredBy,
    trigger: {
      type: run.trigger,
      ...(run.parentEvent && { run_id: run.parentEvent.run.id, event: run.parentEvent.event }),
      ...(run.rerunOfId && { run_id: run.rerunOfId }),
    },
    scheduled_for: isoOrNull(run.scheduledFor),
    started_at: isoOrNull(run.startedAt),
    finished_at: isoOrNull(run.finishedAt),
    duration_ms: durationMs(run.startedAt, run.finishedAt),
    next_attempt_at: isoOrNull(run.nextAttemptAt),
    cancel_requested_at: isoOrNull(run.cancelRequestedAt),
    retry_attempt: run.attempt,
    retries: run.revision.retryLimit,
    retries_exhausted: run.retriesExhausted,
    reason: run.reason ?? reasonOfFailure(run),
    triggered: [...new Set(children.map((child) => child.name))],
    triggered_runs: children,
    not_triggered: run.events.flatMap(({ event, refusals }) =>
      (refusals as { name: string; reason: string }[]).map((refusal) => ({ ...refusal, event })),
    ),
  };
}

/** Returns why the last attempt of a failed run failed; null when its exit code says it. */
function reasonOfFailure({ state, attempt, attempts }: RunSummary): string | null {
  if (state !== "failed") return null;
  return attempts.findLast(({ number }) => number === attempt)?.reason ?? null;
}

function parentView({ parentEvent }: RunSummary): Pick<Summary, "triggered_by_job_run"> {
  if (parentEvent === null) return {};
  const { event, attempt, ofAttempt, run } = parentEvent;
  return {
    triggered_by_job_run: {
      id: run.id,
      name: run.job.name,
      status: ofAttempt.status,
      triggered_at: run.triggeredAt.toISOString(),
      triggered_by: run.triggeredBy,
      event,
      retry_attempt: attempt,
      retries_exhausted: event === "on_retries_exhausted",
    },
  };
}

function frozenParentView(body: EventBody): ParentRun {
  const { run_id: id, triggered_by_job_run: parent, ...shown } = body;
  return { ...shown, id, ...(parent && { triggered_by_job_run: frozenParentView(parent) }) };
}

function attemptView(attempt: RunDetail["attempts"][number]): Run["attempts"][number] {
  return {
    attempt: attempt.number,
    state: attempt.state,
    status: attempt.status,
    reason: attempt.reason,
    worker: attempt.worker,
    started_at: attempt.startedAt.toISOString(),
    finished_at: isoOrNull(attempt.finishedAt),
    duration_ms: durationMs(attempt.startedAt, attempt.finishedAt),
  };
}

function isoOrNull(time: Date | null): string | null {
  return time === null ? null : time.toISOString();
}

function durationMs(from: Date | null, to: Date | null): number | null {
  return from === null || to === null ? null : to.getTime() - from.getTime();
}
