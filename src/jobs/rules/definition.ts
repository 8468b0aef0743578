/** The parsed definitions of jobs and schedules, which all parts share. */

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

/** Options of a notification. */
export interface ActionOptions {
  /** Sent in addition to ours. */
  headers?: Readonly<Record<string, string>>;
  /** Names of the secrets that sign it. There are two while a new secret replaces an old one. */
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

/** The name of the secret that is the URL of a notification; undefined when the target is the URL itself. */
export function secretOfTarget(target: string): string | undefined {
  return target.startsWith(SECRET_URL) ? target.slice(SECRET_URL.length) : undefined;
}

/** Only the options of an action, without undefined ones. */
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
  /** How much the delay varies in both directions, as a share of it from 0 to 1. */
  jitter: number;
  /** Only these exit codes are retried; empty: every failure is retried. */
  exitCodes: readonly number[];
}

/** How many runs of a job may be active at once, and what happens to a run above this limit. */
export interface Concurrency {
  /** null: any number. */
  limit: number | null;
  /** `queue`: the new run waits. `skip`: it is recorded as skipped. `replace`: the oldest active run is cancelled. */
  policy: "queue" | "skip" | "replace";
}

/** What happens to slots that passed while no scheduler was running. */
export interface MissedRuns {
  /** `skip`: no slot runs. `last`: the last slot runs late. `all`: all run late. Other slots are recorded as missed. */
  policy: "skip" | "last" | "all";
  /** Slots older than this (ms) are ignored. */
  windowMs: number;
}

/** Everything that a job revision contains. */
export interface JobDefinition {
  name: string;
  /** null: a new job goes into the schedule `default`, and an existing job stays in its schedule. */
  schedule: string | null;
  command: Command;
  cron: readonly string[];
  timezone: string | null;
  env: Readonly<Record<string, string>>;
  /** Variables whose values are secrets: maps the name of a variable to the name of its secret. */
  secretEnv: Readonly<Record<string, string>>;
  /** Variables that a trigger may set even without the scope admin. */
  params: readonly string[];
  workingDirectory: string | null;
  /** The user that runs the command; null: the user of the service. */
  user: string | null;
  retry: RetryPolicy;
  timeoutMs: number | null;
  concurrency: Concurrency;
  missedRuns: MissedRuns;
  /** Each cron run starts at most this much (ms) after its slot. */
  jitterMs: number;
  /** The pool of workers that run it. */
  pool: string;
  /** How many bytes of an attempt's output are kept. */
  logLimitBytes: number;
  /** How long runs are kept after their end; null: the setting of the schedule. */
  logRetentionMs: number | null;
  /** Whether its actions may close a cycle of jobs. */
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
  /** How long runs of its jobs are kept after their end; null: for ever. */
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
export const DEFAULT_MISSED_RUNS = "last";
export const DEFAULT_CATCHUP_WINDOW_MS = 3_600_000;
/** The most runs of one job that may wait: promise 11. */
export const MAX_WAITING = 1_000;
