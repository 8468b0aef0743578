/** The job document that the API takes. */
import { z } from "zod";
import { MAX_RETRIES, MAX_TIMEOUT_MS } from "../../jobs/rules/definition.ts";
import { eventFields } from "./events.ts";
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
