/** What a job definition says, once parsed: the shape that all parts share. */

export type EventName = "on_success" | "on_error" | "on_retries_exhausted";
export type NotifyAction = "notify_webhook" | "notify_slack_webhook" | "notify_discord_webhook";
export type ActionName = NotifyAction | "trigger_job";

export const EVENTS = ["on_success", "on_error", "on_retries_exhausted"] as const satisfies EventName[];
export const ACTIONS = [
  "trigger_job",
  "notify_webhook",
  "notify_slack_webhook",
  "notify_discord_webhook",
] as const satisfies ActionName[];

/** What a notification has beside its URL. */
export interface ActionOptions {
  /** Sent beside ours. */
  headers?: Readonly<Record<string, string>>;
  /** Names of the secrets that it is signed with, two while one takes the place of the other. */
  secrets?: readonly string[];
}

/** One action of one event: a URL to notify, or the name of a job to trigger. */
export interface EventAction extends ActionOptions {
  event: EventName;
  action: ActionName;
  /** The name of a job, a URL, or the `secretTarget` of one. */
  target: string;
}

const SECRET_URL = "secret:";

/** The target of a notification whose URL is a secret. */
export function secretTarget(name: string): string {
  return SECRET_URL + name;
}

/** The name of the secret that is the URL of a notification; undefined where it is the URL itself. */
export function secretOfTarget(target: string): string | undefined {
  return target.startsWith(SECRET_URL) ? target.slice(SECRET_URL.length) : undefined;
}

/** The options of an action alone, without those that it does not have. */
export function actionOptions({ headers, secrets }: ActionOptions): ActionOptions {
  return { ...(headers && { headers }), ...(secrets && { secrets }) };
}

/** A shell command line, or argv without a shell. */
export type Command = { kind: "shell"; text: string } | { kind: "argv"; argv: readonly string[] };

export interface RetryPolicy {
  /** Attempts after the first. */
  limit: number;
  delayMs: number;
  backoff: "constant" | "exponential";
  maxDelayMs: number | null;
  /** Share of the delay by which it varies either way, 0 to 1. */
  jitter: number;
  /** Only these codes are retried; empty = every failure is. */
  exitCodes: readonly number[];
}

/** How many runs of a job may go on at once, and what becomes of one more. */
export interface Concurrency {
  /** null: any number. */
  limit: number | null;
  /** It waits, is recorded as skipped, or takes the place of the oldest that runs. */
  policy: "queue" | "skip" | "replace";
}

/** What becomes of slots that passed while nobody could make their runs. */
export interface MissedRuns {
  /** All are recorded as missed; or the last one, or all of them, run late. */
  policy: "skip" | "last" | "all";
  /** Older slots than this (ms) are not looked for. */
  windowMs: number;
}

/** Everything that a job revision fixes. */
export interface JobDefinition {
  name: string;
  /** null: `default` for a new job; an existing one stays in its schedule, with its time zone and its actions. */
  schedule: string | null;
  command: Command;
  cron: readonly string[];
  timezone: string | null;
  env: Readonly<Record<string, string>>;
  /** Variables whose value is a secret, by the secret's name. */
  secretEnv: Readonly<Record<string, string>>;
  /** Variables that a trigger may set without the scope admin. */
  params: readonly string[];
  workingDirectory: string | null;
  /** The account that the command runs as; null: that of the service. */
  user: string | null;
  retry: RetryPolicy;
  timeoutMs: number | null;
  concurrency: Concurrency;
  missedRuns: MissedRuns;
  /** Each cron run starts up to so much later than its slot (ms). */
  jitterMs: number;
  /** The workers that run it. */
  pool: string;
  /** What is kept of an attempt's output. */
  logLimitBytes: number;
  /** How long runs are kept once they have ended; null: as the schedule says. */
  logRetentionMs: number | null;
  /** Whether its actions may close a circle of jobs. */
  allowCycle: boolean;
  enabled: boolean;
  description: string | null;
  labels: Readonly<Record<string, string>>;
  actions: readonly EventAction[];
}

/** A whole schedule document. */
export interface ScheduleDefinition {
  name: string;
  tzLocation: string | null;
  /** How long runs of its jobs are kept once they have ended; null: for ever. */
  logRetentionMs: number | null;
  actions: readonly EventAction[];
  jobs: readonly JobDefinition[];
}

export const DEFAULT_SCHEDULE = "default";
export const DEFAULT_POOL = "default";
/** A pool's name becomes part of a queue's name. */
export const POOL_NAME = /^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$/;
export const DEFAULT_RETRY_DELAY_MS = 5_000;
/** pg-boss ends an attempt's message after 24 h, so an attempt ends before that. */
export const MAX_TIMEOUT_MS = 23 * 3_600_000;
export const MAX_RETRIES = 1_000;
export const DEFAULT_LOG_LIMIT_BYTES = 1_048_576;
export const DEFAULT_CATCHUP_WINDOW_MS = 86_400_000;
/** Runs of one job that may wait: promise 11. */
export const MAX_WAITING = 1_000;
