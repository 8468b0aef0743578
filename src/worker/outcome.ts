/** Translates the end of a command into the state, status and reason of its attempt. */
import type { AttemptOutcome } from "../runs/rules/states.ts";
import { formatDuration } from "../time/duration.ts";
import type { CommandEnd, KillReason } from "./remote-command.ts";

/** Returns the outcome; `status` is 128+n for signal n, 124 timed out, 126 or 127 not started, -1 lost or cancelled. */
export function attemptOutcome(end: CommandEnd): AttemptOutcome {
  switch (end.kind) {
    case "exited":
      return end.code === 0 ? { state: "succeeded", status: 0 } : { state: "failed", status: end.code };
    case "signalled":
      return { state: "failed", status: 128 + end.number };
    case "timed_out":
      return { state: "timed_out", status: 124 };
    case "start_failed":
      return { state: "start_failed", status: end.code };
    case "no_resources":
      return killedOutcome("handed_back");
    case "killed":
      return killedOutcome(end.reason);
    case "lease_expired":
    case "runner_died":
      return killedOutcome("lost");
  }
}

/**
 * Returns why an attempt did not end by itself; undefined when it did, and when the run itself records the reason (a
 * cancel, a drain).
 * @param timeoutMs of its job, in ms
 */
export function attemptReason(end: CommandEnd, timeoutMs: number | null): string | undefined {
  switch (end.kind) {
    case "exited":
      return undefined;
    case "signalled":
      return `killed by ${end.signal} (signal ${end.number})`;
    case "timed_out":
      return `timed out after ${formatDuration(timeoutMs ?? 0)}`;
    case "start_failed":
    case "no_resources":
      return end.message;
    case "killed":
      return end.reason === "lost" ? "the worker could not renew its claim in time" : undefined;
    case "lease_expired":
      return "the worker did not extend its lease in time";
    case "runner_died":
      return "the runner process died";
  }
}

function killedOutcome(reason: KillReason): AttemptOutcome {
  switch (reason) {
    case "handed_back":
      return { state: "handed_back", status: null };
    case "cancelled":
    case "lost":
      return { state: reason, status: -1 };
  }
}
