/** What the calls that save take beside whole documents, and what they answer. */
import { z } from "zod";
import { changesSchema } from "./changes.ts";
import { flagSchema, nameSchema } from "./fields.ts";
import { savedJobSchema } from "./job-view.ts";
import { runQuerySchema } from "./run.ts";
import { warningsSchema } from "./warnings.ts";

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
