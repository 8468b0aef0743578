/** The job document: its fields in requests, and in responses. */
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
  limit: z
    .int()
    .min(0)
    .max(MAX_RETRIES)
    .optional()
    .describe(`Maximum number of attempts after the first; default: 0, at most ${MAX_RETRIES}`),
  delay: durationSchema(MAX_DELAY_MS, "7d")
    .optional()
    .describe("Time before the next attempt; default: 5s, at most 7d"),
  backoff: z
    .enum(["constant", "exponential"])
    .optional()
    .describe("`constant` (default): `delay` stays the same. `exponential`: it doubles after each attempt"),
  max_delay: durationSchema(MAX_DELAY_MS, "7d")
    .optional()
    .describe("Upper limit of the delay; default and maximum: 7d"),
  jitter: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe("Share of the delay by which it varies at random in both directions; default: 0"),
  exit_codes: z
    .array(z.int().min(1).max(255))
    .max(255)
    .optional()
    .describe(
      "Only failures with these exit codes are retried; default or empty: all of them. Timeouts, lost attempts and commands that could not start are retried in any case",
    ),
});

const concurrencySchema = z
  .strictObject({
    limit: z
      .int()
      .min(1)
      .max(MAX_LIMIT)
      .describe(`Maximum number of runs of the job at the same time, from 1 to ${MAX_LIMIT}`),
    policy: z
      .enum(["queue", "skip", "replace"])
      .optional()
      .describe(
        "What happens to a run beyond the limit. `queue` (default): the new run waits. `skip`: the new run is recorded as `skipped`. `replace`: the oldest active run is cancelled",
      ),
  })
  .meta({ example: { limit: 1, policy: "queue" } });

const jobFields = {
  command: z
    .union([z.string().min(1).max(65_536), z.array(z.string().max(65_536)).min(1).max(1_000)])
    .describe(
      "A string runs through `/bin/sh -c`. A list is the program and its arguments, and runs without a shell",
    ),
  cron: z
    .union([cronSchema, z.array(cronSchema).max(50)])
    .optional()
    .describe(
      "A cron expression or a list of at most 50: 5 fields, 6 with leading seconds, or a word such as `@daily`. Default: the job never runs on its own",
    ),
  timezone: timezoneSchema
    .optional()
    .describe("IANA time zone of `cron`; default: `tz_location` of the schedule, else DEFAULT_TIMEZONE"),
  env: jobEnvSchema.optional().describe("Environment variables of the command: values, or names of secrets"),
  params: paramsSchema
    .optional()
    .describe(
      "Names of variables that callers with the scope `trigger` may set in `env` of a trigger; default: none",
    ),
  working_directory: z
    .string()
    .min(1)
    .max(4_096)
    .optional()
    .describe("Directory of the command, relative to JOBS_DIR; default: JOBS_DIR"),
  user: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}$/, { error: "must be the name of an account, such as nobody" })
    .optional()
    .describe(
      "The account that runs the command; works only when the service runs as root. Default: the account of the service",
    ),
  retries: z
    .int()
    .min(0)
    .max(MAX_RETRIES)
    .optional()
    .describe(`Short for \`retry: { limit }\`; default: 0, at most ${MAX_RETRIES}`),
  retry: retrySchema.optional().describe("When and how often failed attempts are retried"),
  timeout: durationSchema(MAX_TIMEOUT_MS, "23h")
    .refine((ms) => ms > 0, { error: "must be longer than 0s" })
    .optional()
    .describe("Time limit of each attempt; default: none, at most 23h"),
  concurrency: concurrencySchema.optional().describe("Limits parallel runs of the job; default: no limit"),
  disable_concurrent_execution: z
    .boolean()
    .optional()
    .describe("`true`: short for `concurrency: { limit: 1, policy: queue }`; default: false"),
  missed_runs: z
    .enum(["skip", "last", "all"])
    .optional()
    .describe(
      "What happens to slots that passed while no scheduler was running. `last` (default): the newest runs late, the others are recorded as `missed`. `skip`: each is recorded as `missed`. `all`: each runs late. Where more than 100 passed, or some are older than `catchup_window`, one `missed` run counts those",
    ),
  catchup_window: durationSchema(MAX_CATCHUP_MS, "30d")
    .optional()
    .describe(
      "Missed slots older than this never run late; one `missed` run counts them. Default: 1h, at most 30d",
    ),
  jitter: durationSchema(MAX_JITTER_MS, "1h")
    .optional()
    .describe(
      "A cron run starts up to this much later than its slot; the delay of a slot is always the same. It should be shorter than the time between two slots. Default: 0s, at most 1h",
    ),
  pool: poolSchema.optional().describe("The pool of workers that run the job; default: `default`"),
  log_limit: sizeSchema(MIN_LOG_LIMIT_BYTES, MAX_LOG_LIMIT_BYTES)
    .optional()
    .describe(
      "How much of an attempt's output is kept, half from the start and half from the end; default: 1 MiB, from 1 KiB to 16 MiB",
    ),
  log_retention_period: retentionSchema
    .optional()
    .describe(
      "How long ended runs are kept; default: that of the schedule, else for ever. At most 100 years",
    ),
  allow_cycle: z
    .boolean()
    .optional()
    .describe("`true`: its actions may close a cycle of jobs; default: false"),
  encoding: encodingSchema,
  enabled: z
    .boolean()
    .optional()
    .describe("`false`: no cron slots, and triggers are refused with 409; default: true"),
  description: z.string().max(10_000).optional().describe("Text for readers; no effect"),
  labels: labelsSchema.optional().describe("Names and values that lists of runs can filter by"),
  ...eventFields,
  inherited_timezone: z
    .string()
    .optional()
    .describe("Taken from a response: when `timezone` is equal to it, the job keeps inheriting its zone"),
  revision: readOnlySchema,
  created_at: readOnlySchema,
  updated_at: readOnlySchema,
  next_runs: readOnlySchema,
  paused: readOnlySchema,
  warnings: readOnlySchema,
};

/** The fields of a job document in responses: no short forms, and defaults are written out. */
export const documentFields = {
  name: z.string(),
  schedule: z.string(),
  command: z.union([z.string(), z.array(z.string())]),
  cron: z.union([z.string(), z.array(z.string())]).optional(),
  timezone: z.string().describe("The IANA time zone that applies to `cron`"),
  inherited_timezone: z
    .string()
    .optional()
    .describe("Equal to `timezone`; present when the job sets none and inherits it"),
  env: z
    .record(z.string(), z.union([z.string(), z.object({ secret: z.string() })]))
    .describe("Callers without the scope `admin` see the names; the values are `[redacted]`"),
  params: z.array(z.string()).optional(),
  working_directory: z.string().optional(),
  user: z.string().optional(),
  retries: z.int(),
  retry: z.object({
    limit: z.int(),
    delay: z.string(),
    backoff: z.enum(["constant", "exponential"]),
    max_delay: z.string().optional(),
    jitter: z.number(),
    exit_codes: z.array(z.int()),
  }),
  timeout: z.string().optional(),
  concurrency: z.object({ limit: z.int(), policy: z.enum(["queue", "skip", "replace"]) }).optional(),
  missed_runs: z.enum(["skip", "last", "all"]),
  catchup_window: z.string(),
  jitter: z.string().optional(),
  pool: z.string(),
  log_limit: z.string(),
  log_retention_period: z.string().optional(),
  allow_cycle: z.boolean().optional(),
  enabled: z.boolean(),
  description: z.string().optional(),
  labels: z.record(z.string(), z.string()),
  ...eventFields,
};

interface ShortForms {
  retries?: number | undefined;
  retry?: { limit?: number | undefined } | undefined;
  disable_concurrent_execution?: boolean | undefined;
  concurrency?: { limit: number; policy?: "queue" | "skip" | "replace" | undefined } | undefined;
}

/** Reports a short form that contradicts the long form beside it. */
function checkShortForms(job: ShortForms, context: z.core.$RefinementCtx): void {
  const { retries, retry, disable_concurrent_execution: exclusive = false, concurrency } = job;
  const clash = (path: string, message: string) =>
    context.issues.push({
      code: "custom",
      input: job,
      path: [path],
      message: `${message}: send only one of them`,
    });
  if (retries !== undefined && retry?.limit !== undefined && retries !== retry.limit) {
    clash("retries", "retries and retry.limit differ");
  }
  const isExclusive = concurrency?.limit === 1 && (concurrency.policy ?? "queue") === "queue";
  if (exclusive && concurrency !== undefined && !isExclusive) {
    clash("disable_concurrent_execution", "it means concurrency: { limit: 1, policy: queue }, which differs");
  }
}

/** A job inside a schedule document; its key is its name. */
export const jobInScheduleSchema = z
  .strictObject(jobFields)
  .superRefine(checkShortForms)
  .meta({ id: "JobInSchedule", example: { command: "echo cleaning", cron: "@daily" } });

/** A job outside a schedule document. */
export const jobSchema = z
  .strictObject({
    name: nameSchema,
    schedule: nameSchema
      .optional()
      .describe("The schedule of the job; default: the one that it is in, or `default` for a new job"),
    ...jobFields,
  })
  .superRefine(checkShortForms)
  .meta({ id: "Job", example: JOB });

/** The body of a PUT; the path contains the name, so the body may leave it out. */
export const putJobSchema = z
  .strictObject({ name: nameSchema.optional(), schedule: nameSchema.optional(), ...jobFields })
  .superRefine(checkShortForms)
  .meta({ id: "PutJob", example: JOB });

/** A valid job document. */
export type JobDocument = Omit<z.output<typeof putJobSchema>, "name">;
