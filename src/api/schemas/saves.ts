/** What saves take beside documents, and what they answer: changes and warnings. */
import { z } from "zod";
import { flagSchema, nameSchema, warningsSchema } from "./fields.ts";
import { savedJobSchema } from "./job-answers.ts";
import { runQuerySchema } from "./run.ts";

const fieldChangesSchema = z.array(
  z.object({
    path: z.string(),
    before: z.unknown().describe("null: it was not there"),
    after: z.unknown().describe("null: it is not there any more"),
  }),
);

export const changesSchema = z
  .object({
    name: z.string().describe("Of the schedule"),
    created: z.array(z.string()),
    updated: z.array(z.string()),
    deleted: z.array(z.string()),
    unchanged: z.array(z.string()),
    dry_run: z.boolean().describe("true: nothing was saved"),
    diff: z.record(z.string(), fieldChangesSchema).describe("Of each updated job"),
    schedule_diff: fieldChangesSchema.describe("Of the schedule itself"),
    warnings: warningsSchema,
  })
  .meta({
    id: "Changes",
    description: "Names of jobs by what the document did to them, or would do",
    example: {
      name: "kitchen",
      created: ["cleanup_job"],
      updated: ["coffee"],
      deleted: [],
      unchanged: [],
      dry_run: false,
      diff: { coffee: [{ path: "retry.limit", before: 0, after: 3 }] },
      schedule_diff: [{ path: "tz_location", before: null, after: "Europe/Brussels" }],
      warnings: [],
    },
  });

export const saveQuerySchema = z.strictObject({
  dry_run: flagSchema.optional().describe("true: nothing is saved; the answer says what would change"),
});

export const createQuerySchema = runQuerySchema
  .safeExtend({ run: flagSchema.optional().describe("true: run the job at once, and answer the run") })
  .refine(({ run = false, wait, fail }) => run || (wait === undefined && fail === undefined), {
    path: ["run"],
    error: "wait and fail are of use with run=true only",
  });

/** What a call that saves a job answers. */
export const savedOrChangesSchema = z
  .union([savedJobSchema, changesSchema])
  .describe("The job; for a dry run the changes")
  .meta({ id: "SavedJobOrChanges", example: savedJobSchema.meta()?.["example"] });

/** Any part of a job document; null removes a field. It is checked once it is merged. */
export const jobPatchSchema = z
  .record(z.string(), z.unknown())
  .meta({ id: "JobPatch", example: { cron: "@daily", timeout: null } });

/** Any part of a schedule document; null removes a field or a job. */
export const schedulePatchSchema = z
  .record(z.string(), z.unknown())
  .meta({ id: "SchedulePatch", example: { jobs: { coffee: { retries: 5 }, cleanup_job: null } } });

export const validateQuerySchema = z.strictObject({
  schedule: nameSchema.optional().describe("Where a schedule document would go; default: `default`"),
});

/** A job, or a schedule: what has `jobs` is one. */
export const validateSchema = z
  .record(z.string(), z.unknown())
  .meta({ id: "DocumentToValidate", example: { name: "coffee", command: "brew", cron: "@daily" } });

export const validationSchema = z
  .object({
    valid: z.boolean().describe("Whether a PUT would take it"),
    errors: z.array(z.object({ path: z.string(), message: z.string() })),
    warnings: warningsSchema,
    jobs: z
      .record(z.string(), z.object({ timezone: z.string(), next_runs: z.array(z.iso.datetime()) }))
      .describe("The zone in force and the next slots of each job"),
  })
  .meta({
    id: "Validation",
    example: {
      valid: true,
      errors: [],
      warnings: [],
      jobs: { coffee: { timezone: "UTC", next_runs: ["2026-03-02T00:00:00.000Z"] } },
    },
  });
