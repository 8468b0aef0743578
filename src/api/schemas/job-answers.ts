/** What calls on jobs take beside documents, and what they answer. */
import { z } from "zod";
import { eventFields } from "./events.ts";
import { JOB_VIEW } from "./examples.ts";
import { durationSchema, warningsSchema, wholeNumberSchema } from "./fields.ts";

const NEXT_COUNT = 5;
const MAX_NEXT_COUNT = 100;
const time = z.iso.datetime();

const documentFields = {
  name: z.string(),
  schedule: z.string(),
  command: z.union([z.string(), z.array(z.string())]),
  cron: z.union([z.string(), z.array(z.string())]).optional(),
  timezone: z.string().describe("The zone in force"),
  inherited_timezone: z.string().optional().describe("The same, where the job has none of its own"),
  env: z.record(z.string(), z.union([z.string(), z.object({ secret: z.string() })])),
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

export const jobViewSchema = z
  .object({
    ...documentFields,
    revision: z.int(),
    created_at: time,
    updated_at: time,
    paused: z
      .object({ at: time, by: z.string().nullable(), reason: z.string().nullable() })
      .nullable()
      .describe("Cron slots are missed while it is set; other triggers work"),
    next_runs: z.array(time).describe("The next slots, in UTC"),
  })
  .meta({ id: "JobView", example: JOB_VIEW });

/** What a save answers. */
export const savedJobSchema = z
  .object({ ...jobViewSchema.shape, warnings: warningsSchema })
  .meta({ id: "SavedJob", example: { ...JOB_VIEW, warnings: [] } });

export const jobListSchema = z
  .object({ items: z.array(jobViewSchema), next_cursor: z.string().nullable() })
  .meta({ id: "JobList", example: { items: [JOB_VIEW], next_cursor: null } });

export const nextQuerySchema = z.strictObject({
  count: wholeNumberSchema(1, MAX_NEXT_COUNT).default(NEXT_COUNT),
});

export const nextSchema = z
  .object({
    timezone: z.string(),
    items: z.array(z.object({ at: time, local: z.iso.datetime({ offset: true }) })),
  })
  .meta({
    id: "NextSlots",
    example: {
      timezone: "Europe/Brussels",
      items: [{ at: "2026-03-01T09:05:00.000Z", local: "2026-03-01T10:05:00+01:00" }],
    },
  });

const MAX_WITHIN_MS = 7 * 86_400_000;
const MAX_ITEMS = 1_000;
const ITEMS = 100;

export const agendaQuerySchema = z.strictObject({
  within: durationSchema(MAX_WITHIN_MS, "7d").prefault("1h").describe("How far ahead; at most 7d"),
  limit: wholeNumberSchema(1, MAX_ITEMS).default(ITEMS),
});

export const agendaSchema = z
  .object({
    items: z.array(
      z.object({
        at: z.iso.datetime(),
        local: z.iso.datetime({ offset: true }).describe("The same by the clocks of the job's zone"),
        job: z.string(),
        schedule: z.string(),
        timezone: z.string(),
      }),
    ),
    truncated: z.boolean().describe("There are more of them in the window"),
  })
  .meta({
    id: "Agenda",
    example: {
      items: [
        {
          at: "2026-03-01T09:05:00.000Z",
          local: "2026-03-01T10:05:00+01:00",
          job: "coffee",
          schedule: "kitchen",
          timezone: "Europe/Brussels",
        },
      ],
      truncated: false,
    },
  });

const REVISION = { number: 1, created_at: JOB_VIEW.created_at };

const documentSchema = jobViewSchema
  .omit({
    schedule: true,
    inherited_timezone: true,
    retries: true,
    revision: true,
    created_at: true,
    updated_at: true,
    paused: true,
    next_runs: true,
  })
  .partial({ timezone: true });

const { schedule: _schedule, retries: _retries, ...view } = JOB_VIEW;
const document = documentSchema.parse(view);

export const revisionSchema = z
  .object({
    number: z.int(),
    created_at: z.iso.datetime(),
    document: documentSchema.describe("What the job said; a PUT of it brings that back"),
  })
  .meta({ id: "JobRevision", example: { ...REVISION, document } });

export const revisionListSchema = z
  .object({ items: z.array(revisionSchema), next_cursor: z.string().nullable() })
  .meta({ id: "JobRevisionList", example: { items: [{ ...REVISION, document }], next_cursor: null } });
