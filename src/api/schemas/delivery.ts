/** Deliveries as the API returns them, alone and within their run. */
import { z } from "zod";
import { ACTIONS, EVENTS } from "../../jobs/rules/definition.ts";
import { DELIVERY, DELIVERY_SUMMARY } from "./examples.ts";
import { pageSchema } from "./fields.ts";

const time = z.iso.datetime();

/** The states of a delivery. */
export const DELIVERY_STATES = ["pending", "delivered", "failed", "blocked"] as const;

export const trySchema = z.object({
  started_at: time,
  duration_ms: z.int().describe("Milliseconds until the response, or until the try failed"),
  status: z.int().nullable().describe("HTTP status of the response; null: there was no response"),
  error: z.string().nullable().describe("Why the try failed; null: it succeeded"),
  response: z
    .string()
    .nullable()
    .describe(
      "The first 2 KiB of the response body; null: no response, or the caller lacks the scope `read`",
    ),
});

const commonFields = {
  id: z.uuid().describe("The same for all tries; the body contains it as `delivery_id`"),
  event: z.enum(EVENTS).describe("The event that created the delivery"),
  attempt: z.int().describe("The attempt that fired the event; 0 = first"),
  action: z.enum(ACTIONS),
  url: z
    .string()
    .describe(
      "Callers without the scope `admin` see no path and no query. `secret:NAME`: the URL is a secret",
    ),
  state: z
    .enum(DELIVERY_STATES)
    .describe(
      "`pending`: another try follows. `failed`: the last try has failed. `blocked`: the address is not allowed",
    ),
  next_try_at: time.nullable().describe("null: no further try"),
  created_at: time,
  finished_at: time.nullable().describe("null: still pending"),
};
const runFields = { run_id: z.uuid(), name: z.string().describe("The name of the job") };
const tries = z.array(trySchema);

/** A delivery within its run. */
export const deliverySchema = z.object({ ...commonFields, tries });

/** A delivery by itself. */
export const deliveryDetailSchema = z
  .object({ ...commonFields, ...runFields, tries })
  .meta({ id: "Delivery", example: DELIVERY });

export const deliverySummarySchema = z
  .object({
    ...commonFields,
    ...runFields,
    tries_made: z.int().describe("Number of tries so far"),
    last_try: trySchema.omit({ response: true }).nullable().describe("null: no try yet"),
  })
  .meta({ id: "DeliverySummary", example: DELIVERY_SUMMARY });

export const deliveryListSchema = pageSchema(deliverySummarySchema).meta({
  id: "DeliveryList",
  example: { items: [DELIVERY_SUMMARY], next_cursor: null },
});
