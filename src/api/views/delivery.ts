/** Converts deliveries to responses, alone and within their run. */
import type { z } from "zod";
import type { DeliveryDetail } from "../../deliveries/list.ts";
import type {
  deliveryDetailSchema,
  deliverySchema,
  deliverySummarySchema,
  trySchema,
} from "../schemas/delivery.ts";

type DeliveryRow = Omit<DeliveryDetail, "event" | "history">;
type TryRow = DeliveryDetail["history"][number];

/** Returns a delivery as part of its run; `of` is the event that it reports. */
export function deliveryView(
  of: Pick<DeliveryDetail["event"], "event" | "attempt">,
  delivery: DeliveryRow & { history: TryRow[] },
): z.input<typeof deliverySchema> {
  return { ...commonView(of, delivery), tries: delivery.history.map(tryView) };
}

/** Returns a delivery on its own. */
export function deliveryDetailView(delivery: DeliveryDetail): z.input<typeof deliveryDetailSchema> {
  return { ...deliveryView(delivery.event, delivery), ...runView(delivery) };
}

/** Returns a delivery in a list, with its last try only; that try must be the last of `history`. */
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
