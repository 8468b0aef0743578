/** Creates deliveries. */
import type { ActionOptions, NotifyAction } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";

export async function insertDeliveries(
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
