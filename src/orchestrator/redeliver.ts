/** Tries a delivery again because somebody asks for it. */
import { CarillonError } from "../core/errors.ts";
import { databaseNow } from "../db/client.ts";
import { lockDelivery, reopenDelivery, replaceDeliveryMessage } from "../db/deliveries.ts";
import { DELIVERY_QUEUE } from "../engine/queues.ts";
import { publish } from "../engine/signals.ts";
import { audit } from "./audit.ts";
import { type Deps, newId } from "./deps.ts";
import { deliveryMessage } from "./settle-attempt.ts";

/**
 * Has a delivery tried at once, with the body that it always had. One that is over begins a new schedule of tries
 * after those it had; one that waits for its next try goes on in its schedule. Throws delivery_not_found.
 */
export async function redeliver(deps: Deps, id: string): Promise<void> {
  await deps.db.transaction(async (tx) => {
    const delivery = await lockDelivery(tx, id);
    if (delivery === undefined) throw deliveryNotFound(id);
    await audit(deps, tx, "delivery.redeliver", id);
    const now = await databaseNow(tx);
    const message = deliveryMessage(id, newId());
    switch (delivery.state) {
      case "delivered":
      case "failed":
      case "blocked":
        await reopenDelivery(tx, { id, tries: delivery.tries, messageId: message.id, nextTryAt: now });
        break;
      case "pending":
        // It is due: its try is under way or about to be.
        if (delivery.nextTryAt === null || delivery.nextTryAt <= now) return;
        await replaceDeliveryMessage(tx, id, { messageId: message.id, nextTryAt: now });
        if (delivery.messageId !== null) await deps.engine.withdraw(tx, DELIVERY_QUEUE, [delivery.messageId]);
        break;
    }
    await deps.engine.send(tx, DELIVERY_QUEUE, [message]);
    await publish(tx, { type: "run_changed", run: delivery.event.runId });
  });
}

export function deliveryNotFound(id: string): CarillonError {
  return new CarillonError("delivery_not_found", `there is no delivery ${id}`);
}
