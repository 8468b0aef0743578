/** Repeats a delivery on request. */
import { audit } from "../access/audit.ts";
import type { Caller } from "../access/rules/grants.ts";
import { deliveryNotFound } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { DELIVERY_QUEUE, deliveryMessage } from "../queue/messages.ts";
import { publish } from "../queue/signals.ts";
import { lockDelivery, replaceDeliveryMessage } from "./delivery-rows.ts";
import { hostOf } from "./rules/host.ts";

/** Makes a locked, finished delivery pending again; its next try is the first of a new retry schedule. */
async function reopenDelivery(
  tx: Tx,
  delivery: { id: string; tries: number; messageId: string; nextTryAt: Date },
): Promise<void> {
  const { id, tries, ...data } = delivery;
  const { count } = await tx.delivery.updateMany({
    where: { id, state: { not: "pending" } },
    data: { ...data, state: "pending", finishedAt: null, earlierTries: tries },
  });
  if (count !== 1)
    throw new Error(`delivery ${id} cannot become pending again: it is already pending, or it is gone`);
}

/**
 * Requests a try of a delivery at once, with its original body. A finished delivery starts a new retry schedule after
 * its earlier tries; a pending one continues its schedule.
 * @throws delivery_not_found
 */
export async function redeliver({ db, queue }: Infra, caller: Caller, id: string): Promise<void> {
  await db.transaction(async (tx) => {
    const delivery = await lockDelivery(tx, id);
    if (delivery === undefined) throw deliveryNotFound(id);
    await audit(tx, caller, "delivery.redeliver", id);
    const now = await databaseNow(tx);
    const message = deliveryMessage({ id, host: hostOf(delivery.url) }, newId());
    switch (delivery.state) {
      case "delivered":
      case "failed":
      case "blocked":
        await reopenDelivery(tx, { id, tries: delivery.tries, messageId: message.id, nextTryAt: now });
        break;
      case "pending":
        // It is already due: its try is in progress or about to start.
        if (delivery.nextTryAt === null || delivery.nextTryAt <= now) return;
        await replaceDeliveryMessage(tx, id, { messageId: message.id, nextTryAt: now });
        if (delivery.messageId !== null) await queue.withdraw(tx, DELIVERY_QUEUE, [delivery.messageId]);
        break;
    }
    await queue.send(tx, DELIVERY_QUEUE, [message]);
    publish(tx, { type: "run_changed", run: delivery.event.runId });
  });
}
