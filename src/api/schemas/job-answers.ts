/** The responses of calls on jobs, and what these calls accept beside job documents. */
import { z } from "zod";
import { JOB_VIEW } from "./examples.ts";
import { durationSchema, pageSchema, warningsSchema, wholeNumberSchema } from "./fields.ts";
import { documentFields } from "./job.ts";

const NEXT_COUNT = 5;
const MAX_NEXT_COUNT = 100;
const time = z.iso.datetime();

export const jobViewSchema = z
  .object({
    ...documentFields,
    revision: z.int(),
    created_at: time,
    updated_at: time,
    paused: z
      .object({ at: time, by: z.string().nullable(), reason: z.string().nullable() })
      .nullable()
      .describe(
        "Who paused the job, when and why; null: not paused. A paused job misses its cron slots; other triggers work",
      ),
    next_runs: z
      .array(time)
      .describe("The next cron slots in UTC; empty while the job is paused or disabled"),
  })
  .meta({
    id: "JobView",
    description:
      "The job document in its long form, with all defaults. Its fields mean the same as in a request",
    example: JOB_VIEW,
  });

/** The response to a save. */
export const savedJobSchema = z
  .object({ ...jobViewSchema.shape, warnings: warningsSchema })
  .meta({ id: "SavedJob", example: { ...JOB_VIEW, warnings: [] } });

export const jobListSchema = pageSchema(jobViewSchema).meta({
  id: "JobList",
  example: { items: [JOB_VIEW], next_cursor: null },
});

/** The body of a pause; optional. */
export const pauseSchema = z
  .strictObject({
    by: z.string().min(1).max(200).optional().describe("Who pauses the job; text for readers"),
    reason: z.string().min(1).max(2_000).optional().describe("Why; text for readers"),
  })
  .optional()
  .meta({ id: "Pause", example: { by: "ann", reason: "the machine is being descaled" } });

export const nextQuerySchema = z.strictObject({
  count: wholeNumberSchema(1, MAX_NEXT_COUNT).default(NEXT_COUNT).describe("Number of slots"),
});

export const nextSchema = z
  .object({
    timezone: z.string().describe("The IANA time zone that applies to `cron`"),
    items: z.array(
      z.object({
        at: time,
        local: z.iso.datetime({ offset: true }).describe("The same instant in local time of the zone"),
      }),
    ),
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
  within: durationSchema(MAX_WITHIN_MS, "7d").prefault("1h").describe("How far to look ahead; at most 7d"),
  limit: wholeNumberSchema(1, MAX_ITEMS).default(ITEMS).describe("Maximum number of slots"),
});

export const agendaSchema = z
  .object({
    items: z.array(
      z.object({
        at: z.iso.datetime(),
        local: z.iso.datetime({ offset: true }).describe("The same instant in local time of the job's zone"),
        job: z.string(),
        schedule: z.string(),
        timezone: z.string(),
      }),
    ),
    truncated: z.boolean().describe("Whether `limit` cut off later slots of the window"),
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
    number: z.int().describe("Counts the revisions of the job from 1"),
    created_at: z.iso.datetime(),
    document: documentSchema.describe("The job document of this revision; a PUT of it restores the job"),
  })
  .meta({ id: "JobRevision", example: { ...REVISION, document } });

export const revisionListSchema = pageSchema(revisionSchema).meta({
  id: "JobRevisionList",
  example: { items: [{ ...REVISION, document }], next_cursor: null },
});
