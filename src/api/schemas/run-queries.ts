/** The filters of lists of runs and deliveries, and their time formats. */
import { z } from "zod";
import { RUN_STATES, type Trigger } from "../../runs/rules/states.ts";
import { DELIVERY_STATES } from "./delivery.ts";
import { pageQuerySchema, wholeNumberSchema } from "./fields.ts";

const MAX_VALUES = 50;
const TRIGGERS = ["cron", "api", "job", "rerun", "catch_up"] as const satisfies Trigger[];
const UNITS_MS = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 } as const;

/** A parameter that may be given several times; always a list once parsed. */
function repeatable<T extends z.ZodType>(value: T) {
  return z.union([value.transform((one) => [one]), z.array(value).max(MAX_VALUES)]).optional();
}

/** An instant, or an age in ms. */
export type Moment = { at: Date } | { agoMs: number };

const instantSchema = z.iso.datetime({ offset: true });

const momentSchema = z
  .string()
  .meta({ example: "2w" })
  .describe("An instant such as 2026-03-01T09:00:00Z, or an age such as 2w, 3d, 12h or 30m")
  .transform((text, context): Moment => {
    const [, count, unit] = /^(\d{1,5})([wdhms])$/.exec(text) ?? [];
    if (unit !== undefined) return { agoMs: Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS] };
    // The + of an offset becomes a space in a query unless it was escaped.
    const instant = instantSchema.safeParse(text.replace(/ (?=\d\d:?\d\d$)/, "+"));
    if (instant.success) return { at: new Date(instant.data) };
    context.issues.push({
      code: "custom",
      input: text,
      message: "must be an instant such as 2026-03-01T09:00:00Z, or an age such as 2w, 3d, 12h or 30m",
    });
    return z.NEVER;
  });

/** The time range of a list. */
export const rangeFields = {
  since: momentSchema
    .optional()
    .describe("At or after this time: an instant such as 2026-03-01T09:00:00Z, or an age such as 2w or 12h"),
  until: momentSchema.optional().describe("Before this time: an instant or an age"),
};

const labelSchema = z
  .string()
  .max(601)
  .regex(/^[^=]+=/, { error: "must be name=value" })
  .meta({ example: "team=coffee" })
  .transform((text) => {
    const at = text.indexOf("=");
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });

/** The query of a list of runs of one job. */
export const jobRunsQuerySchema = pageQuerySchema.extend({
  state: repeatable(z.enum(RUN_STATES)).describe("State of the run"),
  status: repeatable(wholeNumberSchema(-1, 255)).describe("Exit code of the run"),
  triggered_by: repeatable(z.string().max(300)).describe(
    "`triggered_by` of the run, such as `cron` or `job[coffee]`",
  ),
  trigger: repeatable(z.enum(TRIGGERS)).describe("Type of the trigger"),
  ...rangeFields,
  label: repeatable(labelSchema).describe(
    "A label of the job, in the revision of the run. Several labels must all match",
  ),
});

/** The query of a list of runs. */
export const runListQuerySchema = jobRunsQuerySchema.extend({
  job: repeatable(z.string().max(200)).describe("Name of the job"),
  schedule: repeatable(z.string().max(200)).describe("Name of the schedule"),
});

/** The query of a list of deliveries. */
export const deliveryListQuerySchema = pageQuerySchema.extend({
  state: repeatable(z.enum(DELIVERY_STATES)).describe("State of the delivery"),
  run: z.uuid().optional().describe("Id of the run"),
  job: repeatable(z.string().max(200)).describe("Name of the job"),
  ...rangeFields,
});
