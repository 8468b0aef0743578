/** Claims due deliveries, and reads what decides how they are sent. */
import type { Infra } from "../infra.ts";
import type { ActionOptions, NotifyAction } from "../jobs/rules/definition.ts";
import type { SqlTx } from "../postgres/client.ts";
import { DELIVERY_QUEUE, type DeliveryMessage } from "../queue/messages.ts";
import type { Message } from "../queue/queue.ts";

/** A claimed delivery that is due. */
export interface ClaimedDelivery {
  message: Message<DeliveryMessage>;
  id: string;
  eventId: string;
  /** As the action names it: it may be the name of a secret. */
  url: string;
  action: NotifyAction;
  options: ActionOptions;
  /** Returns the present time of the database's clock. */
  now(): Date;
}

type DueRow = Pick<ClaimedDelivery, "id" | "eventId" | "url" | "action" | "options"> & {
  messageId: string;
  now: Date;
};

/** Claims up to `count` deliveries. A message whose delivery is no longer due is acknowledged. */
export async function claimDeliveries({ db, queue }: Infra, count: number): Promise<ClaimedDelivery[]> {
  return db.sqlTransaction(async (tx) => {
    const messages = await queue.claim<DeliveryMessage>(DELIVERY_QUEUE, count, tx);
    if (messages.length === 0) return [];
    const due = new Map((await readDue(tx, messages)).map((row) => [row.messageId, row]));
    const stale = messages.filter(({ id }) => !due.has(id));
    if (stale.length > 0) await queue.acknowledge(tx, ...stale);
    const readAt = performance.now();
    return messages.flatMap((message) => {
      const row = due.get(message.id);
      if (row === undefined) return [];
      const { now: databaseTime, messageId: _, ...delivery } = row;
      const now = () => new Date(databaseTime.getTime() + performance.now() - readAt);
      return [{ ...delivery, message, now }];
    });
  });
}

function readDue(tx: SqlTx, messages: readonly Message<DeliveryMessage>[]): Promise<DueRow[]> {
  return tx.$queryRaw`
    SELECT d.id, d.event_id AS "eventId", d.url, d.action, d.options, d.message_id AS "messageId", now()
    FROM delivery d
    WHERE d.id = ANY(${messages.map(({ data }) => data.delivery_id)}::uuid[]) AND d.state = 'pending'
      AND d.message_id = ANY(${messages.map(({ id }) => id)}::uuid[])`;
}
