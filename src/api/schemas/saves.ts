/** The query parameters of saves, and their responses: changes and warnings. */
import { z } from "zod";
import { flagSchema, nameSchema, warningsSchema } from "./fields.ts";
import { savedJobSchema } from "./job-answers.ts";
import { runQuerySchema } from "./trigger.ts";

const fieldChangesSchema = z.array(
  z.object({
    path: z.string().describe("The field, such as `retry.limit`"),
    before: z.unknown().describe("The old value; null: the field is new"),
    after: z.unknown().describe("The new value; null: the field was removed"),
  }),
);

export const changesSchema = z
  .object({
    name: z.string().describe("The name of the schedule"),
    created: z.array(z.string()).describe("Names of the new jobs"),
    updated: z.array(z.string()).describe("Names of the changed jobs"),
    deleted: z.array(z.string()).describe("Names of the deleted jobs"),
    unchanged: z.array(z.string()).describe("Names of the other jobs"),
    dry_run: z.boolean().describe("`true`: nothing was saved"),
    diff: z.record(z.string(), fieldChangesSchema).describe("Changed fields of each updated job"),
    schedule_diff: fieldChangesSchema.describe("Changed fields of the schedule itself"),
    warnings: warningsSchema,
  })
  .meta({
    id: "Changes",
    description: "The changes of a save, or of a dry run",
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
  dry_run: flagSchema
    .optional()
    .describe("`true`: save nothing, and return what a save would change; default: false"),
});

export const createQuerySchema = runQuerySchema
  .safeExtend({
    run: flagSchema
      .optional()
      .describe("`true`: run the new job at once, and return the run; default: false"),
  })
  .refine(({ run = false, wait, fail }) => run || (wait === undefined && fail === undefined), {
    path: ["run"],
    error: "must be true when wait or fail is set",
  });

/** The response of a call that saves a job. */
export const savedOrChangesSchema = z
  .union([savedJobSchema, changesSchema])
  .describe("The job; after a dry run the changes")
  .meta({ id: "SavedJobOrChanges", example: savedJobSchema.meta()?.["example"] });

/** Any part of a job document; null removes a field. The merged document is validated. */
export const jobPatchSchema = z
  .record(z.string(), z.unknown())
  .meta({ id: "JobPatch", example: { cron: "@daily", timeout: null } });

/** Any part of a schedule document; null removes a field or a job. */
export const schedulePatchSchema = z
  .record(z.string(), z.unknown())
  .meta({ id: "SchedulePatch", example: { jobs: { coffee: { retries: 5 }, cleanup_job: null } } });

export const validateQuerySchema = z.strictObject({
  schedule: nameSchema
    .optional()
    .describe("The name of the schedule that a schedule document is checked for; default: `default`"),
});

/** A job document, or a schedule document, which has the field `jobs`. */
export const validateSchema = z
  .record(z.string(), z.unknown())
  .meta({ id: "DocumentToValidate", example: { name: "coffee", command: "brew", cron: "@daily" } });

export const validationSchema = z
  .object({
    valid: z.boolean().describe("Whether a PUT would accept the document"),
    errors: z.array(z.object({ path: z.string(), message: z.string() })),
    warnings: warningsSchema,
    jobs: z
      .record(z.string(), z.object({ timezone: z.string(), next_runs: z.array(z.iso.datetime()) }))
      .describe("The time zone and the next cron slots of each job"),
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
