/** The schedule document, in and out. */
import { z } from "zod";
import { invalidDocument } from "../../errors.ts";
import type { ScheduleDefinition } from "../../jobs/rules/definition.ts";
import type { ScheduleState } from "../../schedules/read.ts";
import type { ListedSchedule, StoredSchedule } from "../../schedules/schedule-rows.ts";
import { formatDuration } from "../../time/duration.ts";
import { eventActions, eventFields, eventsView } from "./events.ts";
import { SCHEDULE, SCHEDULE_LISTED, SCHEDULE_VIEW } from "./examples.ts";
import { encodingSchema, nameSchema, readOnlySchema, retentionSchema, timezoneSchema } from "./fields.ts";
import { jobDefinition, jobDocument, jobInScheduleSchema } from "./job.ts";
import { jobView, jobViewSchema } from "./job-view.ts";

/** A document is saved in one transaction, and everybody else's save waits for it. */
const MAX_JOBS = 2_000;

/** A whole schedule; a cheek file is one. */
export const scheduleSchema = z
  .strictObject({
    name: nameSchema.optional(),
    tz_location: timezoneSchema.optional().describe("The zone of its jobs' cron expressions"),
    log_retention_period: retentionSchema
      .optional()
      .describe("How long ended runs of its jobs are kept; default: for ever"),
    encoding: encodingSchema,
    ...eventFields,
    jobs: z
      .record(nameSchema, jobInScheduleSchema)
      .refine((jobs) => Object.keys(jobs).length <= MAX_JOBS, {
        error: `a schedule has at most ${MAX_JOBS} jobs; share them out among several`,
      })
      .meta({ maxProperties: MAX_JOBS }),
    created_at: readOnlySchema,
    updated_at: readOnlySchema,
  })
  .meta({ id: "Schedule", example: SCHEDULE });

const settingsFields = {
  name: z.string(),
  tz_location: z.string().optional(),
  log_retention_period: z.string().optional(),
};
const times = { created_at: z.iso.datetime(), updated_at: z.iso.datetime() };

export const scheduleViewSchema = z
  .object({
    ...settingsFields,
    ...eventFields,
    jobs: z.record(z.string(), jobViewSchema.omit({ name: true, schedule: true })),
    ...times,
  })
  .meta({ id: "ScheduleView", example: SCHEDULE_VIEW });

export const scheduleListSchema = z
  .object({
    items: z.array(z.object({ ...settingsFields, jobs: z.int().describe("How many"), ...times })),
    next_cursor: z.string().nullable(),
  })
  .meta({ id: "ScheduleList", example: { items: [SCHEDULE_LISTED], next_cursor: null } });

/** The definition that a document means under a name. Throws invalid_document when it says another name. */
export function namedSchedule(name: string, document: z.output<typeof scheduleSchema>): ScheduleDefinition {
  if (document.name !== undefined && document.name !== name) {
    throw invalidDocument([{ path: "name", message: `must be ${name} as in the path, or be left out` }]);
  }
  return {
    name,
    tzLocation: document.tz_location ?? null,
    logRetentionMs: document.log_retention_period ?? null,
    actions: eventActions(document),
    jobs: Object.entries(document.jobs).map(([job, inner]) => jobDefinition(job, inner)),
  };
}

/** What a schedule says beside its jobs. */
export function settingsDocument(schedule: StoredSchedule) {
  return {
    ...(schedule.tzLocation !== null && { tz_location: schedule.tzLocation }),
    ...(schedule.logRetentionMs !== null && {
      log_retention_period: formatDuration(schedule.logRetentionMs, "words"),
    }),
    ...eventsView(schedule.actions),
  };
}

/** The one document for a schedule; `namedSchedule` reads it back. */
export function scheduleDocument({ schedule, jobs }: ScheduleState) {
  const documents = jobs.map(({ definition }) => {
    const { name, schedule: _, ...document } = jobDocument(definition);
    return [name, document] as const;
  });
  return { ...settingsDocument(schedule), jobs: Object.fromEntries(documents) };
}

/** A schedule on the wire. */
export function scheduleView(
  { schedule, jobs }: ScheduleState,
  defaultTimezone: string,
  now: Date,
): z.input<typeof scheduleViewSchema> {
  return {
    name: schedule.name,
    ...settingsDocument(schedule),
    jobs: Object.fromEntries(jobs.map((job) => [job.definition.name, jobView(job, defaultTimezone, now)])),
    created_at: schedule.createdAt.toISOString(),
    updated_at: schedule.updatedAt.toISOString(),
  };
}

/** A schedule in a list. */
export function listedView(schedule: ListedSchedule): z.input<typeof scheduleListSchema>["items"][number] {
  const { jobs: _, ...view } = scheduleView({ schedule, jobs: [] }, "UTC", schedule.createdAt);
  return { ...view, jobs: schedule.jobs };
}
