/** Decides when a host counts as down: its circuit opens, one delivery at a time is tried, and a success closes it. */

/** Failures in a row that open the circuit of a host. */
const FAILURES_TO_OPEN = 5;
/** The wait (ms) before the first delivery is tried again; it doubles with each failure, up to the longest. */
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
/** A gateway answers with these when the receiver behind it is down or overloaded. */
const GATEWAY_STATUSES = [502, 503, 504];

/** What the latest tries say about a host. Times are in monotonic ms. */
export interface Circuit {
  /** Failures since the last success. */
  failures: number;
  /** Only of an open circuit: when the wait began, how long it is, and when one delivery may be tried. */
  open?: { since: number; waitMs: number; probeAt: number };
}

export const CLOSED: Circuit = { failures: 0 };

/**
 * Whether a try shows that the host works; undefined when it says nothing about the host. A 500 or a 404 is the answer
 * of one receiver, and others at the same host may work.
 */
export function isHostUp(
  result: { outcome: "answered"; status: number } | { outcome: "failed" | "blocked" },
): boolean | undefined {
  switch (result.outcome) {
    case "answered":
      return !GATEWAY_STATUSES.includes(result.status);
    case "failed":
      return false;
    case "blocked":
      return undefined;
  }
}

/** Returns the circuit after a try that began at `startedAt`. */
export function afterTry(circuit: Circuit, isUp: boolean, startedAt: number, now: number): Circuit {
  if (isUp) return CLOSED;
  const { open } = circuit;
  // A try that began before the circuit opened, or before its latest wait, says nothing new.
  if (open !== undefined && startedAt <= open.since) return circuit;
  const failures = circuit.failures + 1;
  if (failures < FAILURES_TO_OPEN) return { failures };
  const waitMs = open === undefined ? FIRST_WAIT_MS : Math.min(2 * open.waitMs, LONGEST_WAIT_MS);
  return { failures, open: { since: now, waitMs, probeAt: now + waitMs } };
}
