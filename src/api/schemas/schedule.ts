/** The schedule document, in and out. */
import { z } from "zod";
import type { ScheduleDefinition } from "../../core/job.ts";
import type { StoredJob, StoredSchedule } from "../../db/definitions.ts";
import { SCHEDULE, SCHEDULE_VIEW } from "./examples.ts";
import { nameSchema, timezoneSchema } from "./fields.ts";
import { eventActions, eventFields, jobDefinition, jobInScheduleSchema } from "./job.ts";
import { eventsView, jobView, jobViewSchema } from "./job-view.ts";

/** A whole schedule; a cheek file is one. */
export const scheduleSchema = z
  .strictObject({
    tz_location: timezoneSchema.optional().describe("The zone of its jobs' cron expressions"),
    ...eventFields,
    jobs: z.record(nameSchema, jobInScheduleSchema),
  })
  .meta({ id: "Schedule", example: SCHEDULE });

export const scheduleViewSchema = z
  .object({
    name: z.string(),
    tz_location: z.string().optional(),
    ...eventFields,
    jobs: z.record(z.string(), jobViewSchema),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: "ScheduleView", example: SCHEDULE_VIEW });

export const changesSchema = z
  .object({
    name: z.string(),
    created: z.array(z.string()),
    updated: z.array(z.string()),
    deleted: z.array(z.string()),
    unchanged: z.array(z.string()),
  })
  .meta({
    id: "ScheduleChanges",
    description: "Names of jobs by what the document did to them",
    example: { name: "kitchen", created: ["coffee", "cleanup_job"], updated: [], deleted: [], unchanged: [] },
  });

/** The definition that a document means. */
export function scheduleDefinition(
  name: string,
  document: z.output<typeof scheduleSchema>,
): ScheduleDefinition {
  return {
    name,
    tzLocation: document.tz_location ?? null,
    logRetentionMs: null,
    actions: eventActions(document),
    jobs: Object.entries(document.jobs).map(([job, inner]) => jobDefinition(job, inner)),
  };
}

/** A schedule on the wire. */
export function scheduleView(
  schedule: StoredSchedule,
  jobs: readonly StoredJob[],
  defaultTimezone: string,
  now: Date,
): z.input<typeof scheduleViewSchema> {
  return {
    name: schedule.name,
    ...(schedule.tzLocation !== null && { tz_location: schedule.tzLocation }),
    ...eventsView(schedule.actions),
    jobs: Object.fromEntries(jobs.map((job) => [job.definition.name, jobView(job, defaultTimezone, now)])),
    created_at: schedule.createdAt.toISOString(),
    updated_at: schedule.updatedAt.toISOString(),
  };
}
