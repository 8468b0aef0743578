/** The job document that the API takes. */
import { z } from "zod";
import {
  DEFAULT_CATCHUP_WINDOW_MS,
  DEFAULT_LOG_LIMIT_BYTES,
  DEFAULT_POOL,
  DEFAULT_RETRY_DELAY_MS,
  type JobDefinition,
  MAX_RETRIES,
  MAX_TIMEOUT_MS,
} from "../../jobs/rules/definition.ts";
import { formatSize } from "../../text/sizes.ts";
import { formatDuration } from "../../time/duration.ts";
import { eventActions, eventFields, eventsView } from "./events.ts";
import { JOB } from "./examples.ts";
import {
  cronSchema,
  durationSchema,
  encodingSchema,
  jobEnvSchema,
  labelsSchema,
  nameSchema,
  paramsSchema,
  poolSchema,
  readOnlySchema,
  retentionSchema,
  sizeSchema,
  timezoneSchema,
} from "./fields.ts";

const MAX_DELAY_MS = 7 * 86_400_000;
const MAX_LIMIT = 1_000;
const MAX_CATCHUP_MS = 30 * 86_400_000;
const MAX_JITTER_MS = 3_600_000;
const MIN_LOG_LIMIT_BYTES = 1_024;
const MAX_LOG_LIMIT_BYTES = 16 * 1_048_576;

const retrySchema = z.strictObject({
  limit: z.int().min(0).max(MAX_RETRIES).optional().describe("Attempts after the first"),
  delay: durationSchema(MAX_DELAY_MS, "7d").optional(),
  backoff: z.enum(["constant", "exponential"]).optional(),
  max_delay: durationSchema(MAX_DELAY_MS, "7d").optional(),
  jitter: z.number().min(0).max(1).optional().describe("Share of the delay by which it varies either way"),
  exit_codes: z
    .array(z.int().min(1).max(255))
    .max(255)
    .optional()
    .describe("Only these are retried; none: all"),
});

const concurrencySchema = z
  .strictObject({
    limit: z.int().min(1).max(MAX_LIMIT).describe("Runs at once"),
    policy: z
      .enum(["queue", "skip", "replace"])
      .optional()
      .describe(
        "What becomes of one more: it waits (the default), is recorded as skipped, or takes the place of the oldest",
      ),
  })
  .meta({ example: { limit: 1, policy: "queue" } });

const jobFields = {
  command: z
    .union([z.string().min(1).max(65_536), z.array(z.string().max(65_536)).min(1).max(1_000)])
    .describe("A string runs through /bin/sh -c; a list is argv, without a shell"),
  cron: z.union([cronSchema, z.array(cronSchema).max(50)]).optional(),
  timezone: timezoneSchema.optional().describe("Of the cron expressions; default: that of the schedule"),
  env: jobEnvSchema.optional(),
  params: paramsSchema
    .optional()
    .describe("Variables that a trigger may set with the scope trigger alone; none unless they stand here"),
  working_directory: z.string().min(1).max(4_096).optional().describe("Relative to JOBS_DIR"),
  user: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}$/, { error: "must be the name of an account, such as nobody" })
    .optional()
    .describe("Whom the command runs as, where the service may (as root); default: as the service"),
  retries: z.int().min(0).max(MAX_RETRIES).optional().describe("Short for retry: { limit }"),
  retry: retrySchema.optional(),
  timeout: durationSchema(MAX_TIMEOUT_MS, "23h")
    .refine((ms) => ms > 0, { error: "must be longer than 0s" })
    .optional()
    .describe("Of each attempt"),
  concurrency: concurrencySchema.optional(),
  disable_concurrent_execution: z
    .boolean()
    .optional()
    .describe("true: short for concurrency: { limit: 1, policy: queue }"),
  missed_runs: z
    .enum(["skip", "last", "all"])
    .optional()
    .describe(
      "Slots that passed while nobody was up: recorded as missed (the default), or the last one or all run",
    ),
  catchup_window: durationSchema(MAX_CATCHUP_MS, "30d").optional().describe("How far back; default: 1d"),
  jitter: durationSchema(MAX_JITTER_MS, "1h")
    .optional()
    .describe("Each cron run starts up to so much later than its slot; always as much for one slot"),
  pool: poolSchema.optional().describe("The workers that run it; default: default"),
  log_limit: sizeSchema(MIN_LOG_LIMIT_BYTES, MAX_LOG_LIMIT_BYTES)
    .optional()
    .describe("What is kept of an attempt's output, its beginning and its end; default: 1 MiB"),
  log_retention_period: retentionSchema
    .optional()
    .describe("How long ended runs are kept; default: that of the schedule"),
  allow_cycle: z.boolean().optional().describe("true: its actions may close a circle of jobs"),
  encoding: encodingSchema,
  enabled: z.boolean().optional().describe("false: no cron slots, and triggers are refused"),
  description: z.string().max(10_000).optional(),
  labels: labelsSchema.optional(),
  ...eventFields,
  inherited_timezone: z
    .string()
    .optional()
    .describe("From a job that was read: a timezone equal to it stays inherited"),
  revision: readOnlySchema,
  created_at: readOnlySchema,
  updated_at: readOnlySchema,
  next_runs: readOnlySchema,
  paused: readOnlySchema,
  warnings: readOnlySchema,
};

interface ShortForms {
  retries?: number | undefined;
  retry?: { limit?: number | undefined } | undefined;
  disable_concurrent_execution?: boolean | undefined;
  concurrency?: { limit: number; policy?: "queue" | "skip" | "replace" | undefined } | undefined;
}

/** A short form beside the long one is an error where they differ. */
function checkShortForms(job: ShortForms, context: z.core.$RefinementCtx): void {
  const { retries, retry, disable_concurrent_execution: exclusive = false, concurrency } = job;
  const clash = (path: string, message: string) =>
    context.issues.push({
      code: "custom",
      input: job,
      path: [path],
      message: `${message}: give one of them`,
    });
  if (retries !== undefined && retry?.limit !== undefined && retries !== retry.limit) {
    clash("retries", "retries and retry.limit differ");
  }
  const isExclusive = concurrency?.limit === 1 && (concurrency.policy ?? "queue") === "queue";
  if (exclusive && concurrency !== undefined && !isExclusive) {
    clash("disable_concurrent_execution", "it means concurrency: { limit: 1, policy: queue }, which differs");
  }
}

/** A job inside a schedule document, where its key is its name. */
export const jobInScheduleSchema = z
  .strictObject(jobFields)
  .superRefine(checkShortForms)
  .meta({ id: "JobInSchedule", example: { command: "echo cleaning", cron: "@daily" } });

/** A job by itself. */
export const jobSchema = z
  .strictObject({
    name: nameSchema,
    schedule: nameSchema.optional().describe("default: `default`, or where the job is already"),
    ...jobFields,
  })
  .superRefine(checkShortForms)
  .meta({ id: "Job", example: JOB });

/** A job to PUT: its name stands in the path already. */
export const putJobSchema = z
  .strictObject({ name: nameSchema.optional(), schedule: nameSchema.optional(), ...jobFields })
  .superRefine(checkShortForms)
  .meta({ id: "PutJob", example: JOB });

/** A document that has been checked. */
export type JobDocument = Omit<z.output<typeof putJobSchema>, "name">;

/** The definition that a document means. */
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
      policy: document.missed_runs ?? "skip",
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

/** Plain variables, and those whose value is a secret. */
function environment(given: JobDocument["env"] = {}): Pick<JobDefinition, "env" | "secretEnv"> {
  const env: Record<string, string> = {};
  const secretEnv: Record<string, string> = {};
  for (const [variable, value] of Object.entries(given)) {
    if (typeof value === "string") env[variable] = value;
    else secretEnv[variable] = value.secret;
  }
  return { env, secretEnv };
}

/** The one document for a definition: no short forms, defaults written out; `jobDefinition` reads it back. */
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
