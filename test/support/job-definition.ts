/** A job definition with defaults, for tests that work below the API. */
import type { JobDefinition } from "../../src/jobs/rules/definition.ts";

export function jobDefinition(more: Partial<JobDefinition> = {}): JobDefinition {
  return {
    name: "job",
    schedule: null,
    command: { kind: "shell", text: "true" },
    cron: [],
    timezone: null,
    env: {},
    secretEnv: {},
    params: [],
    workingDirectory: null,
    user: null,
    retry: { limit: 0, delayMs: 0, backoff: "constant", maxDelayMs: null, jitter: 0, exitCodes: [] },
    timeoutMs: null,
    concurrency: { limit: null, policy: "queue" },
    missedRuns: { policy: "last", windowMs: 3_600_000 },
    jitterMs: 0,
    pool: "default",
    logLimitBytes: 1_048_576,
    logRetentionMs: null,
    allowCycle: false,
    enabled: true,
    description: null,
    labels: {},
    actions: [],
    ...more,
  };
}
