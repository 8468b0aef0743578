/** The job document that the API takes. */
import { z } from "zod";
import {
  ACTIONS,
  DEFAULT_RETRY_DELAY_MS,
  EVENTS,
  type EventAction,
  type JobDefinition,
  MAX_RETRIES,
  MAX_TIMEOUT_MS,
} from "../../core/job.ts";
import { JOB } from "./examples.ts";
import {
  cronSchema,
  durationSchema,
  envSchema,
  labelsSchema,
  nameSchema,
  timezoneSchema,
  webhookUrlSchema,
} from "./fields.ts";

const MAX_DELAY_MS = 7 * 86_400_000;
const targets = <T extends z.ZodType<string>>(target: T) => z.array(target).max(50);

const actionsSchema = z
  .strictObject({
    trigger_job: targets(nameSchema).optional().describe("Names of jobs to trigger"),
    notify_webhook: targets(webhookUrlSchema).optional().describe("URLs that get the whole event as JSON"),
    notify_slack_webhook: targets(webhookUrlSchema).optional(),
    notify_discord_webhook: targets(webhookUrlSchema).optional(),
  })
  .meta({ id: "EventActions" });

/** The three events, on a job or on a schedule. */
export const eventFields = {
  on_success: actionsSchema.optional().describe("After an attempt that succeeded"),
  on_error: actionsSchema.optional().describe("After each attempt that failed"),
  on_retries_exhausted: actionsSchema
    .optional()
    .describe("Once, when a job with retries has failed its last attempt"),
};
export const eventsSchema = z.object(eventFields);

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

const jobFields = {
  command: z
    .union([z.string().min(1).max(65_536), z.array(z.string().max(65_536)).min(1).max(1_000)])
    .describe("A string runs through /bin/sh -c; a list is argv, without a shell"),
  cron: z.union([cronSchema, z.array(cronSchema).max(50)]).optional(),
  timezone: timezoneSchema.optional().describe("Of the cron expressions; default: that of the schedule"),
  env: envSchema.optional(),
  working_directory: z.string().min(1).max(4_096).optional().describe("Relative to JOBS_DIR"),
  retries: z.int().min(0).max(MAX_RETRIES).optional().describe("Short for retry: { limit }"),
  retry: retrySchema.optional(),
  timeout: durationSchema(MAX_TIMEOUT_MS, "23h")
    .refine((ms) => ms > 0, { error: "must be longer than 0s" })
    .optional()
    .describe("Of each attempt"),
  enabled: z.boolean().optional().describe("false: no cron slots, and triggers are refused"),
  description: z.string().max(10_000).optional(),
  labels: labelsSchema.optional(),
  ...eventFields,
};

const sameRetries = (job: {
  retries?: number | undefined;
  retry?: { limit?: number | undefined } | undefined;
}) => job.retries === undefined || job.retry?.limit === undefined || job.retries === job.retry.limit;
const retriesClash = { path: ["retries"], error: "retries and retry.limit differ: give one of them" };

/** A job inside a schedule document, where its key is its name. */
export const jobInScheduleSchema = z
  .strictObject(jobFields)
  .refine(sameRetries, retriesClash)
  .meta({ id: "JobInSchedule", example: { command: "echo cleaning", cron: "@daily" } });

/** A job by itself. */
export const jobSchema = z
  .strictObject({
    name: nameSchema,
    schedule: nameSchema.optional().describe("default: `default`, or where the job is already"),
    ...jobFields,
  })
  .refine(sameRetries, retriesClash)
  .meta({ id: "Job", example: JOB });

/** A job to PUT: its name stands in the path already. */
export const putJobSchema = z
  .strictObject({ name: nameSchema.optional(), schedule: nameSchema.optional(), ...jobFields })
  .refine(sameRetries, retriesClash)
  .meta({ id: "PutJob", example: JOB });

type JobDocument = Omit<z.output<typeof putJobSchema>, "name">;

/** The definition that a document means. */
export function jobDefinition(name: string, document: JobDocument): JobDefinition {
  const { command, cron = [], retry = {} } = document;
  return {
    name,
    schedule: document.schedule ?? null,
    command: typeof command === "string" ? { kind: "shell", text: command } : { kind: "argv", argv: command },
    cron: typeof cron === "string" ? [cron] : cron,
    timezone: document.timezone ?? null,
    env: document.env ?? {},
    workingDirectory: document.working_directory ?? null,
    retry: {
      limit: document.retries ?? retry.limit ?? 0,
      delayMs: retry.delay ?? DEFAULT_RETRY_DELAY_MS,
      backoff: retry.backoff ?? "constant",
      maxDelayMs: retry.max_delay ?? null,
      jitter: retry.jitter ?? 0,
      exitCodes: retry.exit_codes ?? [],
    },
    timeoutMs: document.timeout ?? null,
    concurrency: { limit: null, policy: "queue" },
    logRetentionMs: null,
    allowCycle: false,
    enabled: document.enabled ?? true,
    description: document.description ?? null,
    labels: document.labels ?? {},
    actions: eventActions(document),
  };
}

/** The actions of a document in a fixed order, each once. */
export function eventActions(document: z.output<typeof eventsSchema>): EventAction[] {
  return EVENTS.flatMap((event) =>
    ACTIONS.flatMap((action) =>
      [...new Set(document[event]?.[action])].map((target) => ({ event, action, target })),
    ),
  );
}
