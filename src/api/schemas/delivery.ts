/** Deliveries as the API answers them, alone and within their run. */
import { z } from "zod";
import type { DeliveryDetail } from "../../deliveries/list.ts";
import { ACTIONS, EVENTS } from "../../jobs/rules/definition.ts";
import { DELIVERY, DELIVERY_SUMMARY } from "./examples.ts";

type DeliveryRow = Omit<DeliveryDetail, "event" | "history">;
type TryRow = DeliveryDetail["history"][number];

const time = z.iso.datetime();

/** The states of a delivery. */
export const DELIVERY_STATES = ["pending", "delivered", "failed", "blocked"] as const;

const trySchema = z.object({
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

const deliverySummarySchema = z
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

/** A delivery within its run; `of` is the event that it tells of. */
export function deliveryView(
  of: Pick<DeliveryDetail["event"], "event" | "attempt">,
  delivery: DeliveryRow & { history: TryRow[] },
): z.input<typeof deliverySchema> {
  return { ...commonView(of, delivery), tries: delivery.history.map(tryView) };
}

/** A delivery by itself. */
export function deliveryDetailView(delivery: DeliveryDetail): z.input<typeof deliveryDetailSchema> {
  return { ...deliveryView(delivery.event, delivery), ...runView(delivery) };
}

/** A delivery in a list: of its tries only the last one, which must be the last of `history`. */
export function deliverySummaryView(delivery: DeliveryDetail): z.input<typeof deliverySummarySchema> {
  const last = delivery.history.at(-1);
  return {
    ...commonView(delivery.event, delivery),
    ...runView(delivery),
    tries_made: delivery.tries,
    last_try: last === undefined ? null : tryView(last),
  };
}

function commonView(of: Pick<DeliveryDetail["event"], "event" | "attempt">, delivery: DeliveryRow) {
  return {
    id: delivery.id,
    event: of.event,
    attempt: of.attempt,
    action: delivery.action,
    url: delivery.url,
    state: delivery.state,
    next_try_at: delivery.nextTryAt?.toISOString() ?? null,
    created_at: delivery.createdAt.toISOString(),
    finished_at: delivery.finishedAt?.toISOString() ?? null,
  };
}

function runView({ event: { run } }: DeliveryDetail) {
  return { run_id: run.id, name: run.job.name };
}

function tryView(made: TryRow): z.input<typeof trySchema> {
  const { startedAt, durationMs: duration_ms, status, error, response } = made;
  return { started_at: startedAt.toISOString(), duration_ms, status, error, response };
}
