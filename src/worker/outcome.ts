/** How a command's end counts: the status of DESIGN 3. */
import type { AttemptOutcome } from "../core/run.ts";
import type { CommandEnd, KillReason } from "./command.ts";

/** 128+n for signal n, 124 timed out, 126 or 127 could not start, -1 lost or cancelled. */
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
    case "killed":
      return killedOutcome(end.reason);
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
