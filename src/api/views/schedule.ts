/** Converts schedule documents to definitions, and definitions to responses. */
import type { z } from "zod";
import { invalidDocument } from "../../errors.ts";
import type { ScheduleDefinition } from "../../jobs/rules/definition.ts";
import type { ScheduleState } from "../../schedules/read.ts";
import type { ListedSchedule, StoredSchedule } from "../../schedules/schedule-rows.ts";
import { formatDuration } from "../../time/duration.ts";
import type { scheduleListSchema, scheduleSchema, scheduleViewSchema } from "../schemas/schedule.ts";
import { jobView } from "./job.ts";
import { eventActions, eventsView, jobDefinition, jobDocument } from "./job-document.ts";

/** Converts a document to the definition of a schedule. Throws invalid_document when its name differs from `name`. */
export function namedSchedule(name: string, document: z.output<typeof scheduleSchema>): ScheduleDefinition {
  if (document.name !== undefined && document.name !== name) {
    throw invalidDocument([{ path: "name", message: `must be ${name}, as in the path, or be left out` }]);
  }
  return {
    name,
    tzLocation: document.tz_location ?? null,
    logRetentionMs: document.log_retention_period ?? null,
    actions: eventActions(document),
    jobs: Object.entries(document.jobs).map(([job, inner]) => jobDefinition(job, inner)),
  };
}

/** Returns the document of a schedule without its jobs. */
export function settingsDocument(schedule: StoredSchedule) {
  return {
    ...(schedule.tzLocation !== null && { tz_location: schedule.tzLocation }),
    ...(schedule.logRetentionMs !== null && {
      log_retention_period: formatDuration(schedule.logRetentionMs, "words"),
    }),
    ...eventsView(schedule.actions),
  };
}

/** Converts a schedule to its document; `namedSchedule` is the inverse. */
export function scheduleDocument({ schedule, jobs }: ScheduleState) {
  const documents = jobs.map(({ definition }) => {
    const { name, schedule: _, ...document } = jobDocument(definition);
    return [name, document] as const;
  });
  return { ...settingsDocument(schedule), jobs: Object.fromEntries(documents) };
}

/** Returns a schedule with its jobs. */
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

/** Returns a schedule in a list, with the number of its jobs. */
export function listedView(schedule: ListedSchedule): z.input<typeof scheduleListSchema>["items"][number] {
  const { jobs: _, ...view } = scheduleView({ schedule, jobs: [] }, "UTC", schedule.createdAt);
  return { ...view, jobs: schedule.jobs };
}
