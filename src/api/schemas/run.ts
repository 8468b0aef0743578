/** A run as the API answers it, and what triggers take. */
import { z } from "zod";
import { EVENTS } from "../../jobs/rules/definition.ts";
import { ATTEMPT_TRANSITIONS, type AttemptState, RUN_STATES } from "../../runs/rules/states.ts";
import { deliverySchema } from "./delivery.ts";
import { RUN, RUN_SUMMARY, RUN_TREE, RUN_TREE_DRAWN, RUN_TREE_MERMAID } from "./examples.ts";
import { durationSchema, envSchema, flagSchema } from "./fields.ts";

const MAX_WAIT_MS = 55_000;
const time = z.iso.datetime();
const attemptStates = Object.keys(ATTEMPT_TRANSITIONS) as AttemptState[];

/** The body of a trigger; may be absent. */
export const triggerSchema = z
  .strictObject({
    triggered_by: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe("Who asks: stands in the history and in notifications"),
    env: envSchema.optional().describe("Joins the job's env and wins over it"),
    events: z.boolean().optional().describe("false: fire no actions"),
  })
  .optional()
  .meta({ id: "Trigger", example: { triggered_by: "CoffeeRequestButton", env: { CUP: "small" } } });

/** The query of a call that may wait for the end of a run. */
export const waitQuerySchema = z.strictObject({
  wait: durationSchema(MAX_WAIT_MS, "55s")
    .optional()
    .describe("Answer when the run has ended, or after so long"),
});

/** The query of a call that answers one run. */
export const runQuerySchema = waitQuerySchema
  .extend({
    fail: flagSchema
      .optional()
      .describe("true: 424 when the run ends in any other state than succeeded; only with `wait`"),
  })
  .refine(({ fail, wait }) => !fail || wait !== undefined, {
    path: ["fail"],
    error: "is only of use with wait, such as ?wait=30s&fail=true",
  });

/** The headers of a trigger that are ours. */
export const triggerHeadersSchema = z.looseObject({
  "idempotency-key": z
    .string()
    .regex(/^[\x21-\x7e]{1,255}$/, { error: "must be 1 to 255 visible ASCII characters, and given once" })
    .optional()
    .describe("The same key with the same trigger gives the same run, for 24 h"),
});

/** What a command printed. */
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
  status: z.int().nullable(),
  triggered_at: time,
  triggered_by: z.string(),
  event: z.enum(EVENTS),
  retry_attempt: z.int(),
  retries_exhausted: z.boolean(),
};

const triggerView = z.object({
  type: z.enum(["cron", "api", "job", "rerun", "catch_up"]),
  run_id: z.uuid().optional().describe("The run that triggered it, or that it repeats"),
  event: z.enum(EVENTS).optional().describe("The event of that run"),
});

const summaryFields = {
  id: z.uuid(),
  name: z.string(),
  schedule: z.string(),
  revision: z.int(),
  state: z.enum(RUN_STATES),
  status: z
    .int()
    .nullable()
    .describe("Exit code; 128+n signal, 124 timed out, 126/127 could not start, -1 lost"),
  triggered_at: time,
  triggered_by: z.string(),
  trigger: triggerView,
  scheduled_for: time.nullable(),
  started_at: time.nullable(),
  finished_at: time.nullable(),
  duration_ms: z.int().nullable().describe("From the start of the first attempt to the end"),
  next_attempt_at: time.nullable(),
  cancel_requested_at: time.nullable().describe("When its end was asked for while it ran"),
  retry_attempt: z.int().describe("0 = first attempt"),
  retries: z.int(),
  retries_exhausted: z.boolean(),
  reason: z.string().nullable(),
  triggered: z.array(z.string()),
  triggered_runs: z.array(childSchema),
  not_triggered: z
    .array(z.object({ name: z.string(), event: z.enum(EVENTS), reason: z.string() }))
    .describe("trigger_job actions that made no run, and why"),
};

/** A run in a list: no logs. */
export const runSummarySchema = z
  .object({ ...summaryFields, triggered_by_job_run: z.object(parentFields).optional() })
  .meta({ id: "RunSummary", example: RUN_SUMMARY });

export const runListSchema = z
  .object({ items: z.array(runSummarySchema), next_cursor: z.string().nullable() })
  .meta({ id: "RunList", example: { items: [RUN_SUMMARY], next_cursor: null } });

const attemptSchema = z.object({
  attempt: z.int().describe("0 = first"),
  state: z.enum(attemptStates),
  status: z.int().nullable(),
  reason: z.string().nullable(),
  worker: z.string(),
  started_at: time,
  finished_at: time.nullable(),
  duration_ms: z.int().nullable(),
});

/** The run that triggered another one, as it was then, and so on up the chain. */
export interface ParentRun extends z.output<typeof nearParentSchema> {
  triggered_by_job_run?: ParentRun | undefined;
}

const nearParentSchema = z.object({
  ...parentFields,
  log: z.string(),
  log_truncated: z.boolean(),
  triggered: z.array(z.string()),
});
const parentSchema = nearParentSchema
  .extend({
    get triggered_by_job_run(): z.ZodOptional<z.ZodType<ParentRun, ParentRun>> {
      return parentSchema.optional();
    },
  })
  .meta({ id: "ParentRun", description: "The run that triggered this one, as it was then" });

/** A whole run. */
export const runSchema = z
  .object({
    ...summaryFields,
    env: z.record(z.string(), z.string()).describe("What the trigger added to the job's env"),
    attempts: z.array(attemptSchema),
    deliveries: z.array(deliverySchema),
    log: z.string().describe("Of the latest attempt; its end, when it is long"),
    log_truncated: z.boolean(),
    triggered_by_job_run: parentSchema.optional(),
  })
  .meta({ id: "Run", example: RUN });

const fields = {
  id: z.uuid(),
  name: z.string(),
  state: z.enum(RUN_STATES),
  status: z.int().nullable(),
  event: z.enum(EVENTS).nullable().describe("The event of the run above that triggered it"),
  triggered_at: z.iso.datetime(),
  duration_ms: z.int().nullable(),
  self: z.boolean().describe("Whether it is the run that was asked for"),
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

/** The run that began a chain, and all that came of it. */
export type RunTree = TreeNode & { truncated: boolean };

export const runTreeSchema = z
  .object({
    ...fields,
    children: z.array(nodeSchema),
    truncated: z.boolean().describe("Whether the chain has more runs than are shown"),
  })
  .meta({ id: "RunTree", example: RUN_TREE });

export const drawnTreeSchema = z.string().meta({ example: RUN_TREE_DRAWN });
export const mermaidTreeSchema = z.string().meta({ example: RUN_TREE_MERMAID });
