/** Converts job documents and their events to definitions, and back. */
import { invalidDocument } from "../../errors.ts";
import {
  ACTIONS,
  DEFAULT_CATCHUP_WINDOW_MS,
  DEFAULT_LOG_LIMIT_BYTES,
  DEFAULT_MISSED_RUNS,
  DEFAULT_POOL,
  DEFAULT_RETRY_DELAY_MS,
  EVENTS,
  type EventAction,
  type JobDefinition,
  secretOfTarget,
} from "../../jobs/rules/definition.ts";
import { formatSize } from "../../text/sizes.ts";
import { formatDuration } from "../../time/duration.ts";
import { type EventsDocument, targetOf, type Webhook } from "../schemas/events.ts";
import type { JobDocument } from "../schemas/job.ts";

/** Converts a job document to a definition, with all defaults. */
export function jobDefinition(name: string, document: JobDocument): JobDefinition {
  const { command, cron = [], retry = {}, timezone, inherited_timezone: inherited } = document;
  const exclusive = document.disable_concurrent_execution === true;
  return {
    name,
    schedule: document.schedule ?? null,
    command: typeof command === "string" ? { kind: "shell", text: command } : { kind: "argv", argv: command },
    cron: typeof cron === "string" ? [cron] : cron,
    timezone: timezone === undefined || timezone === inherited ? null : timezone,
    ...environment(document.env),
    params: document.params ?? [],
    workingDirectory: document.working_directory ?? null,
    user: document.user ?? null,
    retry: {
      limit: document.retries ?? retry.limit ?? 0,
      delayMs: retry.delay ?? DEFAULT_RETRY_DELAY_MS,
      backoff: retry.backoff ?? "constant",
      maxDelayMs: retry.max_delay ?? null,
      jitter: retry.jitter ?? 0,
      exitCodes: retry.exit_codes ?? [],
    },
    timeoutMs: document.timeout ?? null,
    concurrency: {
      limit: exclusive ? 1 : (document.concurrency?.limit ?? null),
      policy: document.concurrency?.policy ?? "queue",
    },
    missedRuns: {
      policy: document.missed_runs ?? DEFAULT_MISSED_RUNS,
      windowMs: document.catchup_window ?? DEFAULT_CATCHUP_WINDOW_MS,
    },
    jitterMs: document.jitter ?? 0,
    pool: document.pool ?? DEFAULT_POOL,
    logLimitBytes: document.log_limit ?? DEFAULT_LOG_LIMIT_BYTES,
    logRetentionMs: document.log_retention_period ?? null,
    allowCycle: document.allow_cycle ?? false,
    enabled: document.enabled ?? true,
    description: document.description ?? null,
    labels: document.labels ?? {},
    actions: eventActions(document),
  };
}

/** Converts a document to the definition of a job. Throws invalid_document when its name differs from `name`. */
export function namedJob(
  name: string,
  { name: given, ...document }: JobDocument & { name?: string | undefined },
): JobDefinition {
  if (given === undefined || given === name) return jobDefinition(name, document);
  throw invalidDocument([{ path: "name", message: `must be ${name}, as in the path, or be left out` }]);
}

/** Separates plain variables from those whose value is a secret. */
function environment(given: JobDocument["env"] = {}): Pick<JobDefinition, "env" | "secretEnv"> {
  const env: Record<string, string> = {};
  const secretEnv: Record<string, string> = {};
  for (const [variable, value] of Object.entries(given)) {
    if (typeof value === "string") env[variable] = value;
    else secretEnv[variable] = value.secret;
  }
  return { env, secretEnv };
}

/** Converts a definition to its document, with long forms and explicit defaults. `jobDefinition` is the inverse. */
export function jobDocument(d: JobDefinition) {
  return {
    name: d.name,
    ...(d.schedule !== null && { schedule: d.schedule }),
    command: d.command.kind === "shell" ? d.command.text : [...d.command.argv],
    ...(d.cron.length > 0 && { cron: d.cron.length === 1 ? String(d.cron[0]) : [...d.cron] }),
    ...(d.timezone !== null && { timezone: d.timezone }),
    env: {
      ...d.env,
      ...Object.fromEntries(Object.entries(d.secretEnv).map(([variable, secret]) => [variable, { secret }])),
    },
    ...(d.params.length > 0 && { params: [...d.params] }),
    ...(d.workingDirectory !== null && { working_directory: d.workingDirectory }),
    ...(d.user !== null && { user: d.user }),
    retry: {
      limit: d.retry.limit,
      delay: formatDuration(d.retry.delayMs),
      backoff: d.retry.backoff,
      ...(d.retry.maxDelayMs !== null && { max_delay: formatDuration(d.retry.maxDelayMs) }),
      jitter: d.retry.jitter,
      exit_codes: [...d.retry.exitCodes],
    },
    ...(d.timeoutMs !== null && { timeout: formatDuration(d.timeoutMs) }),
    ...(d.concurrency.limit !== null && {
      concurrency: { limit: d.concurrency.limit, policy: d.concurrency.policy },
    }),
    missed_runs: d.missedRuns.policy,
    catchup_window: formatDuration(d.missedRuns.windowMs),
    ...(d.jitterMs > 0 && { jitter: formatDuration(d.jitterMs) }),
    pool: d.pool,
    log_limit: formatSize(d.logLimitBytes),
    ...(d.logRetentionMs !== null && { log_retention_period: formatDuration(d.logRetentionMs, "words") }),
    ...(d.allowCycle && { allow_cycle: true }),
    enabled: d.enabled,
    ...(d.description !== null && { description: d.description }),
    labels: { ...d.labels },
    ...eventsView(d.actions),
  };
}

/** Returns the actions of a document in a fixed order, without duplicates. */
export function eventActions(document: EventsDocument): EventAction[] {
  return EVENTS.flatMap((event) =>
    ACTIONS.flatMap((action) => {
      const targets = (document[event]?.[action] ?? []).map(webhook);
      const distinct = new Map(targets.toReversed().map((one) => [targetOf(one), one])).values();
      return [...distinct].toReversed().map(({ url, headers = {}, secret }) => ({
        event,
        action,
        target: targetOf({ url }),
        ...(Object.keys(headers).length > 0 && { headers }),
        ...(secret !== undefined && { secrets: [secret].flat() }),
      }));
    }),
  );
}

/** Converts actions to the event fields of a document. */
export function eventsView(actions: readonly EventAction[]): EventsDocument {
  const ofEvent = (event: EventAction["event"]) => {
    const own = actions.filter((one) => one.event === event);
    const lists = ACTIONS.map((action) => [
      action,
      own.filter((one) => one.action === action).map(targetView),
    ]);
    return Object.fromEntries(lists.filter(([, targets]) => targets?.length !== 0));
  };
  const used = EVENTS.filter((event) => actions.some((one) => one.event === event));
  return Object.fromEntries(used.map((event) => [event, ofEvent(event)]));
}

function webhook(target: string | Webhook): Webhook {
  return typeof target === "string" ? { url: target } : target;
}

function targetView({ target, headers, secrets = [] }: EventAction): string | Webhook {
  const [secret, second] = secrets;
  const secretUrl = secretOfTarget(target);
  if (headers === undefined && secret === undefined && secretUrl === undefined) return target;
  return {
    url: secretUrl === undefined ? target : { secret: secretUrl },
    ...(headers && { headers: { ...headers } }),
    ...(secret !== undefined && { secret: second === undefined ? secret : [secret, second] }),
  };
}
