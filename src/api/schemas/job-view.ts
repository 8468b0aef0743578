/** A job as the API answers it: its document, with what follows from it. */
import { z } from "zod";
import type { StoredJob } from "../../jobs/find.ts";
import { parseCron } from "../../time/cron.ts";
import { nextSlots } from "../../time/slots.ts";
import { formatLocalTime } from "../../time/zones.ts";
import { eventFields } from "./events.ts";
import { JOB_VIEW } from "./examples.ts";
import { wholeNumberSchema } from "./fields.ts";
import { jobDocument } from "./job.ts";
import { warningsSchema } from "./warnings.ts";

const NEXT_RUNS = 3;
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

/**
 * A job on the wire.
 * @param now the next slots are counted from here
 */
export function jobView(job: StoredJob, defaultTimezone: string, now: Date): z.input<typeof jobViewSchema> {
  const { definition, paused } = job;
  const timezone = zoneOf(job, defaultTimezone);
  return {
    ...jobDocument(definition),
    schedule: definition.schedule,
    timezone,
    ...(definition.timezone === null && { inherited_timezone: timezone }),
    retries: definition.retry.limit,
    revision: job.revision,
    created_at: job.createdAt.toISOString(),
    updated_at: job.updatedAt.toISOString(),
    paused: paused && { ...paused, at: paused.at.toISOString() },
    next_runs: upcoming(job, timezone, now, NEXT_RUNS).map((slot) => slot.toISOString()),
  };
}

/** The next slots of a job, in UTC and by the clocks of its zone. */
export function nextView(
  job: StoredJob,
  defaultTimezone: string,
  now: Date,
  count: number,
): z.input<typeof nextSchema> {
  const timezone = zoneOf(job, defaultTimezone);
  const items = upcoming(job, timezone, now, count).map((slot) => ({
    at: slot.toISOString(),
    local: formatLocalTime(slot, timezone),
  }));
  return { timezone, items };
}

function zoneOf({ definition, scheduleTimezone }: StoredJob, defaultTimezone: string): string {
  return definition.timezone ?? scheduleTimezone ?? defaultTimezone;
}

/** None for a job that is disabled or paused. */
function upcoming({ definition, paused }: StoredJob, zone: string, after: Date, count: number): Date[] {
  if (!definition.enabled || paused !== null) return [];
  return nextSlots({ crons: definition.cron.map(parseCron), zone, after, count });
}
