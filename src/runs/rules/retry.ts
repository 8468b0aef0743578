/** Decides whether and when a failed run is retried. */
import type { RetryPolicy } from "../../jobs/rules/definition.ts";

/** The longest delay between attempts: a week. */
const CEILING_MS = 7 * 86_400_000;

/**
 * The delay (ms) after attempt number `attempt` (0 = first) has failed.
 * @param random a number in [0, 1) that chooses the jitter
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, random: number): number {
  const grown =
    policy.backoff === "exponential" ? policy.delayMs * 2 ** Math.min(attempt, 30) : policy.delayMs;
  const varied = Math.min(grown, policy.maxDelayMs ?? CEILING_MS) * (1 + policy.jitter * (2 * random - 1));
  return Math.round(Math.min(varied, policy.maxDelayMs ?? CEILING_MS));
}

/** Whether the policy retries an attempt that ended with this state and status. */
export function isRetryable(policy: RetryPolicy, state: string, status: number): boolean {
  return state !== "failed" || policy.exitCodes.length === 0 || policy.exitCodes.includes(status);
}
