/** The schedule document in requests and responses. */
import { z } from "zod";
import { eventFields } from "./events.ts";
import { SCHEDULE, SCHEDULE_LISTED, SCHEDULE_VIEW } from "./examples.ts";
import {
  encodingSchema,
  nameSchema,
  pageSchema,
  readOnlySchema,
  retentionSchema,
  timezoneSchema,
} from "./fields.ts";
import { jobInScheduleSchema } from "./job.ts";
import { jobViewSchema } from "./job-answers.ts";

/** One transaction saves a document, and all other saves wait for it. */
const MAX_JOBS = 2_000;

/** A whole schedule; a cheek file is one. */
export const scheduleSchema = z
  .strictObject({
    name: nameSchema.optional(),
    tz_location: timezoneSchema
      .optional()
      .describe("IANA time zone of the cron expressions of its jobs; default: DEFAULT_TIMEZONE"),
    log_retention_period: retentionSchema
      .optional()
      .describe("How long ended runs of its jobs are kept; default: for ever, at most 100 years"),
    encoding: encodingSchema,
    ...eventFields,
    jobs: z
      .record(nameSchema, jobInScheduleSchema)
      .refine((jobs) => Object.keys(jobs).length <= MAX_JOBS, {
        error: `must have at most ${MAX_JOBS} jobs: split the schedule`,
      })
      .meta({ maxProperties: MAX_JOBS, description: "The jobs of the schedule by name" }),
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

export const scheduleListSchema = pageSchema(
  z.object({ ...settingsFields, jobs: z.int().describe("Number of jobs"), ...times }),
).meta({ id: "ScheduleList", example: { items: [SCHEDULE_LISTED], next_cursor: null } });
