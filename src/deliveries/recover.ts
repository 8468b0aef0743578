/** Sends new messages for pending deliveries whose messages are gone. */
import type { SqlTx } from "../postgres/client.ts";
import { newId } from "../postgres/ids.ts";
import { DELIVERY_QUEUE, deliveryMessage } from "../queue/messages.ts";
import type { Queue, SentMessage } from "../queue/queue.ts";

/** A pending delivery. */
interface PendingDelivery {
  id: string;
  messageId: string | null;
  nextTryAt: Date | null;
}

/** One batch of the search: how many deliveries got a message, and the last one that was looked at, if others follow. */
export interface RecoveredBatch {
  recovered: number;
  last: string | undefined;
}

/** Looks at up to `limit` pending deliveries after `after`, in the order of their ids. */
export async function recoverDeliveries(
  queue: Queue,
  tx: SqlTx,
  after: string | undefined,
  limit: number,
): Promise<RecoveredBatch> {
  const pending = await tx.$queryRaw<PendingDelivery[]>`
    SELECT id, message_id AS "messageId" FROM delivery
    WHERE state = 'pending' AND id > ${after ?? FIRST}::uuid ORDER BY id LIMIT ${limit}`;
  const without = await withoutMessage(queue, tx, pending);
  const locked = without.length === 0 ? [] : await lockPending(tx, without);
  // Check again under the locks: the deliveries may have changed since they were read.
  const messages = (await withoutMessage(queue, tx, locked)).map(({ id, nextTryAt }) =>
    deliveryMessage(id, newId(), nextTryAt ?? undefined),
  );
  if (messages.length > 0) {
    const ids = messages.map(({ data }) => data.delivery_id);
    await tx.$executeRaw`
      UPDATE delivery SET message_id = next.message_id
      FROM unnest(${ids}::uuid[], ${messages.map(({ id }) => id)}::uuid[]) next (id, message_id)
      WHERE delivery.id = next.id`;
    await queue.send(tx, DELIVERY_QUEUE, messages);
  }
  return { recovered: messages.length, last: pending.length < limit ? undefined : pending.at(-1)?.id };
}

/** No id sorts before it. */
const FIRST = "00000000-0000-0000-0000-000000000000";

async function lockPending(tx: SqlTx, deliveries: readonly { id: string }[]): Promise<PendingDelivery[]> {
  return tx.$queryRaw`
    SELECT id, message_id AS "messageId", next_try_at AS "nextTryAt" FROM delivery
    WHERE id = ANY(${deliveries.map(({ id }) => id)}::uuid[]) AND state = 'pending' ORDER BY id FOR UPDATE`;
}

async function withoutMessage(
  queue: Queue,
  tx: SqlTx,
  deliveries: readonly PendingDelivery[],
): Promise<PendingDelivery[]> {
  const sent = deliveries.flatMap(({ messageId }): SentMessage[] =>
    messageId === null ? [] : [{ id: messageId, queueName: DELIVERY_QUEUE }],
  );
  const live = sent.length === 0 ? new Set<string>() : await queue.liveMessages(tx, sent);
  return deliveries.filter(({ messageId }) => messageId === null || !live.has(messageId));
}
