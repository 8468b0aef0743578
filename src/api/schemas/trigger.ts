/** What calls that trigger, read or cancel a run accept and return. */
import { z } from "zod";
import { LOCATION, REPLAYED, RUN_HEADERS } from "./answer-headers.ts";
import { durationSchema, envSchema, flagSchema } from "./fields.ts";
import { logSchema, runSchema } from "./run.ts";

const MAX_WAIT_MS = 55_000;

/** The body of a trigger; optional. */
export const triggerSchema = z
  .strictObject({
    triggered_by: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe("A label of the caller; runs and notifications show it. Default: `api`"),
    env: envSchema
      .optional()
      .describe("Variables that are added to `env` of the job; they override its values"),
    events: z.boolean().optional().describe("`false`: the run fires no actions; default: true"),
  })
  .optional()
  .meta({ id: "Trigger", example: { triggered_by: "CoffeeRequestButton", env: { CUP: "small" } } });

/** The query of a call that can wait for the end of a run. */
export const waitQuerySchema = z.strictObject({
  wait: durationSchema(MAX_WAIT_MS, "55s")
    .optional()
    .describe("Respond when the run has ended, or after this time; at most 55s. Default: respond at once"),
});

/** The query of a call that returns one run. */
export const runQuerySchema = waitQuerySchema
  .extend({
    fail: flagSchema
      .optional()
      .describe(
        "`true`: respond with 424 when the run ends in another state than `succeeded`. Requires `wait`",
      ),
  })
  .refine(({ fail, wait }) => !fail || wait !== undefined, {
    path: ["fail"],
    error: "requires wait, such as ?wait=30s&fail=true",
  });

/** The request headers of a trigger. */
export const triggerHeadersSchema = z.looseObject({
  "idempotency-key": z
    .string()
    .regex(/^[\x21-\x7e]{1,255}$/, { error: "must be 1 to 255 visible ASCII characters, and given once" })
    .optional()
    .describe(
      "A repeated trigger with the same key returns the same run, for 24 h; another trigger with this key gets 422",
    ),
});

const runAnswer = (description: string, headers = {}) => ({
  description,
  headers: { ...RUN_HEADERS, ...headers },
  content: { "application/json": { schema: runSchema }, "text/plain": { schema: logSchema } },
});

/** The responses of a call that reads a run: the run, or its log for `Accept: text/plain`. */
export const RUN_ANSWERS = { 200: runAnswer("The run, or its log as text") };

/** The responses of a cancel. */
export const CANCEL_ANSWERS = {
  ...RUN_ANSWERS,
  202: runAnswer("The run, which has not ended yet; its worker has been asked to stop it"),
};

/** The responses of a call that creates a run: 200 when the caller asked to wait and it has ended, else 202. */
export const TRIGGER_ANSWERS = triggerAnswers(LOCATION);

/** The same for a call that accepts an Idempotency-Key. */
export const KEYED_ANSWERS = triggerAnswers({ ...LOCATION, ...REPLAYED });

function triggerAnswers(headers: object) {
  return {
    200: runAnswer(
      "With `wait`: the run, which has ended, or its log as text. A `skipped` run has ended at once",
      headers,
    ),
    202: runAnswer("The run, which has not ended yet; without `wait`, also one that has ended", headers),
  };
}
