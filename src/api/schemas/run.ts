/** Runs as the API returns them: in full, in lists and as the tree of a chain. */
import { z } from "zod";
import { EVENTS } from "../../jobs/rules/definition.ts";
import { ATTEMPT_TRANSITIONS, type AttemptState, RUN_STATES } from "../../runs/rules/states.ts";
import { deliverySchema } from "./delivery.ts";
import { RUN, RUN_SUMMARY, RUN_TREE, RUN_TREE_DRAWN, RUN_TREE_MERMAID } from "./examples.ts";
import { pageSchema } from "./fields.ts";

const time = z.iso.datetime();
const attemptStates = Object.keys(ATTEMPT_TRANSITIONS) as AttemptState[];

/** The output of a command. */
export const logSchema = z.string().meta({ example: RUN.log });

const childSchema = z.object({
  id: z.uuid(),
  name: z.string(),
  event: z.enum(EVENTS),
  state: z.enum(RUN_STATES),
});

const parentFields = {
  id: z.uuid(),
  name: z.string(),
  status: z.int().nullable().describe("Exit code of the attempt that fired the event"),
  triggered_at: time,
  triggered_by: z.string(),
  event: z.enum(EVENTS).describe("The event that triggered this run"),
  retry_attempt: z.int().describe("The attempt that fired the event; 0 = first"),
  retries_exhausted: z.boolean().describe("Whether the event is `on_retries_exhausted`"),
};

const triggerView = z.object({
  type: z.enum(["cron", "api", "job", "rerun", "catch_up"]),
  run_id: z.uuid().optional().describe("The run that triggered this one, or that this one repeats"),
  event: z.enum(EVENTS).optional().describe("The event of that run; absent for a rerun"),
});

const summaryFields = {
  id: z.uuid(),
  name: z.string(),
  schedule: z.string(),
  revision: z.int().describe("The revision of the job that the run uses"),
  state: z.enum(RUN_STATES),
  status: z
    .int()
    .nullable()
    .describe(
      "Exit code of the latest attempt. 128+n: signal n, 124: timed out, 126 or 127: could not start, -1: lost or cancelled, null: no attempt has ended",
    ),
  triggered_at: time.describe("When the run was created"),
  triggered_by: z
    .string()
    .describe(
      "`cron`, `job[NAME]`, `retries_exhausted[NAME]`, `rerun`, `catch_up`, or the label of the caller (default `api`)",
    ),
  trigger: triggerView,
  scheduled_for: time.nullable().describe("The cron slot; null: another trigger"),
  started_at: time.nullable().describe("Start of the first attempt"),
  finished_at: time.nullable().describe("null: the run has not ended"),
  duration_ms: z
    .int()
    .nullable()
    .describe("Milliseconds from the start of the first attempt to the end of the run"),
  next_attempt_at: time.nullable().describe("When the next attempt may start"),
  cancel_requested_at: time.nullable().describe("When a running run was asked to stop"),
  retry_attempt: z.int().describe("The latest attempt; 0 = first"),
  retries: z.int().describe("Maximum number of attempts after the first"),
  retries_exhausted: z.boolean().describe("Whether the last attempt of a job with retries has failed"),
  reason: z
    .string()
    .nullable()
    .describe(
      "Why the run was cancelled, or never ran, or why its last attempt failed without an exit code of its own (such as `timed out after 10m`); null otherwise",
    ),
  triggered: z.array(z.string()).describe("Names of the jobs that this run has triggered"),
  triggered_runs: z.array(childSchema).describe("The runs that this run has triggered"),
  not_triggered: z
    .array(z.object({ name: z.string(), event: z.enum(EVENTS), reason: z.string() }))
    .describe("`trigger_job` actions that created no run, with the reason"),
};

/** A run in a list, without logs. */
export const runSummarySchema = z
  .object({ ...summaryFields, triggered_by_job_run: z.object(parentFields).optional() })
  .meta({ id: "RunSummary", example: RUN_SUMMARY });

export const runListSchema = pageSchema(runSummarySchema).meta({
  id: "RunList",
  example: { items: [RUN_SUMMARY], next_cursor: null },
});

const attemptSchema = z.object({
  attempt: z.int().describe("0 = first"),
  state: z.enum(attemptStates),
  status: z
    .int()
    .nullable()
    .describe("Exit code; null: still running, or handed back by a worker that stopped"),
  reason: z
    .string()
    .nullable()
    .describe(
      "Why the attempt ended, where its command gave no exit code of its own, such as `timed out after 10m`; else null",
    ),
  worker: z.string().describe("The worker that ran the attempt"),
  started_at: time,
  finished_at: time
    .nullable()
    .describe(
      "null: the attempt has not ended. For a `lost` attempt: when its worker was found to be gone; its command may have ended earlier",
    ),
  duration_ms: z.int().nullable().describe("Milliseconds; null: the attempt has not ended"),
});

/** The run that triggered another run, as it was at that time, with its own parents up the chain. */
export interface ParentRun extends z.output<typeof nearParentSchema> {
  triggered_by_job_run?: ParentRun | undefined;
}

const nearParentSchema = z.object({
  ...parentFields,
  log: z.string(),
  log_truncated: z.boolean(),
  triggered: z.array(z.string()),
  reason: z.string().optional().describe("Why the attempt did not end by itself; absent when it did"),
});
const parentSchema = nearParentSchema
  .extend({
    get triggered_by_job_run(): z.ZodOptional<z.ZodType<ParentRun, ParentRun>> {
      return parentSchema.optional();
    },
  })
  .meta({ id: "ParentRun", description: "The run that triggered this one, as it was at that time" });

/** A run with all its fields. */
export const runSchema = z
  .object({
    ...summaryFields,
    env: z
      .record(z.string(), z.string())
      .describe(
        "Variables that the trigger added to `env` of the job. Callers without the scope `admin` see the names; the values are `[redacted]`",
      ),
    attempts: z.array(attemptSchema),
    deliveries: z.array(deliverySchema),
    log: z.string().describe("Output of the latest attempt, at most its last 64 KiB"),
    log_truncated: z.boolean().describe("Whether `log` is not the whole output"),
    triggered_by_job_run: parentSchema.optional(),
  })
  .meta({ id: "Run", example: RUN });

const fields = {
  id: z.uuid(),
  name: z.string(),
  state: z.enum(RUN_STATES),
  status: z.int().nullable(),
  event: z
    .enum(EVENTS)
    .nullable()
    .describe("The event of the parent run that triggered this run; null for the first run"),
  triggered_at: z.iso.datetime(),
  duration_ms: z.int().nullable().describe("Milliseconds from the start of the first attempt to the end"),
  self: z.boolean().describe("Whether this is the requested run"),
};

/** A run of a chain with the runs that it triggered. */
export interface TreeNode extends z.output<z.ZodObject<typeof fields>> {
  children: TreeNode[];
}

const nodeSchema = z
  .object({
    ...fields,
    get children(): z.ZodArray<z.ZodType<TreeNode, TreeNode>> {
      return z.array(nodeSchema);
    },
  })
  .meta({ id: "RunTreeNode" });

/** The first run of a chain, with all runs that follow from it. */
export type RunTree = TreeNode & { truncated: boolean };

export const runTreeSchema = z
  .object({
    ...fields,
    children: z.array(nodeSchema),
    truncated: z.boolean().describe("Whether the chain has more than the 1,000 runs shown"),
  })
  .meta({ id: "RunTree", example: RUN_TREE });

export const drawnTreeSchema = z.string().meta({ example: RUN_TREE_DRAWN });
export const mermaidTreeSchema = z.string().meta({ example: RUN_TREE_MERMAID });
