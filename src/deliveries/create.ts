/** Creates the deliveries of an event. */
import type { ActionOptions, NotifyAction } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";

/** Inserts deliveries in the state `pending`; the caller sends their messages in the same transaction. */
export async function createDeliveries(
  tx: Tx,
  deliveries: {
    id: string;
    eventId: string;
    action: NotifyAction;
    url: string;
    options: ActionOptions;
    messageId: string;
    createdAt: Date;
    nextTryAt: Date;
  }[],
): Promise<void> {
  const data = deliveries.map((delivery) => ({ ...delivery, options: { ...delivery.options } }));
  if (data.length > 0) await tx.delivery.createMany({ data });
}
