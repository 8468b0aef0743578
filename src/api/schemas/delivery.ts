/** Deliveries as the API answers them, alone and within their run. */
import { z } from "zod";
import { ACTIONS, EVENTS } from "../../jobs/rules/definition.ts";
import { DELIVERY, DELIVERY_SUMMARY } from "./examples.ts";

const time = z.iso.datetime();

/** The states of a delivery. */
export const DELIVERY_STATES = ["pending", "delivered", "failed", "blocked"] as const;

export const trySchema = z.object({
  started_at: time,
  duration_ms: z.int(),
  status: z.int().nullable().describe("HTTP status of the answer"),
  error: z.string().nullable(),
  response: z.string().nullable().describe("Its first 2 KiB"),
});

const commonFields = {
  id: z.uuid().describe("The same for all its tries; stands in the body as `delivery_id`"),
  event: z.enum(EVENTS),
  attempt: z.int(),
  action: z.enum(ACTIONS),
  url: z.string(),
  state: z.enum(DELIVERY_STATES),
  next_try_at: time.nullable(),
  created_at: time,
  finished_at: time.nullable(),
};
const runFields = { run_id: z.uuid(), name: z.string().describe("The job of the run") };
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
    tries_made: z.int(),
    last_try: trySchema.omit({ response: true }).nullable(),
  })
  .meta({ id: "DeliverySummary", example: DELIVERY_SUMMARY });

export const deliveryListSchema = z
  .object({ items: z.array(deliverySummarySchema), next_cursor: z.string().nullable() })
  .meta({ id: "DeliveryList", example: { items: [DELIVERY_SUMMARY], next_cursor: null } });
