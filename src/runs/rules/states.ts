/** The states of runs and attempts, and the table of allowed transitions. */

/** The states that may follow each state of a run; a state without successors is final. */
export const RUN_TRANSITIONS = {
  queued: ["running", "cancelled"],
  running: ["succeeded", "failed", "retrying", "queued", "cancelled"],
  retrying: ["running", "cancelled"],
  succeeded: [],
  failed: [],
  cancelled: [],
  skipped: [],
  missed: [],
} as const satisfies Record<string, readonly string[]>;

/** The states that may follow each state of an attempt. */
export const ATTEMPT_TRANSITIONS = {
  running: ["succeeded", "failed", "timed_out", "cancelled", "lost", "start_failed", "handed_back"],
  succeeded: [],
  failed: [],
  timed_out: [],
  cancelled: [],
  lost: [],
  start_failed: [],
  handed_back: [],
} as const satisfies Record<string, readonly string[]>;

export type RunState = keyof typeof RUN_TRANSITIONS;
export type AttemptState = keyof typeof ATTEMPT_TRANSITIONS;

/** Why a run exists. */
export type Trigger = "cron" | "api" | "job" | "rerun" | "catch_up";

export const RUN_STATES = Object.keys(RUN_TRANSITIONS) as RunState[];

/** The states from which a run may change to `to`. Every change of state checks them. */
export function runStatesBefore(to: RunState): RunState[] {
  return RUN_STATES.filter((from) => (RUN_TRANSITIONS[from] as readonly RunState[]).includes(to));
}

/** Whether a run in this state has ended. */
export function isFinal(state: RunState): boolean {
  return RUN_TRANSITIONS[state].length === 0;
}

/** How an attempt ended, with its status: an exit code, 128+n for signal n, 124, 126, 127 or -1 (docs/events.md). */
export type AttemptOutcome =
  | { state: "succeeded"; status: 0 }
  | { state: "failed"; status: number }
  | { state: "timed_out"; status: 124 }
  | { state: "start_failed"; status: 126 | 127 }
  | { state: "lost"; status: -1 }
  | { state: "cancelled"; status: -1 }
  | { state: "handed_back"; status: null };
