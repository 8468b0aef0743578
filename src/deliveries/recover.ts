/** Sends new messages for pending deliveries whose messages are gone. */
import type { SqlTx } from "../postgres/client.ts";
import { LOWEST_ID, newId } from "../postgres/ids.ts";
import { DELIVERY_QUEUE, deliveryMessage } from "../queue/messages.ts";
import { type Queue, type SentMessage, withoutLiveMessage } from "../queue/queue.ts";
import { hostOf } from "./rules/host.ts";

/** A pending delivery. */
interface PendingDelivery {
  id: string;
  url: string;
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
    SELECT id, url, message_id AS "messageId" FROM delivery
    WHERE state = 'pending' AND id > ${after ?? LOWEST_ID}::uuid ORDER BY id LIMIT ${limit}`;
  const without = await withoutLiveMessage(queue, tx, pending, messageOf);
  const locked = without.length === 0 ? [] : await lockPending(tx, without);
  // Check again under the locks: the deliveries may have changed since they were read.
  const messages = (await withoutLiveMessage(queue, tx, locked, messageOf)).map(({ id, url, nextTryAt }) =>
    deliveryMessage({ id, host: hostOf(url) }, newId(), nextTryAt ?? undefined),
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

async function lockPending(tx: SqlTx, deliveries: readonly { id: string }[]): Promise<PendingDelivery[]> {
  return tx.$queryRaw`
    SELECT id, url, message_id AS "messageId", next_try_at AS "nextTryAt" FROM delivery
    WHERE id = ANY(${deliveries.map(({ id }) => id)}::uuid[]) AND state = 'pending' ORDER BY id FOR UPDATE`;
}

function messageOf({ messageId }: PendingDelivery): SentMessage | undefined {
  return messageId === null ? undefined : { id: messageId, queueName: DELIVERY_QUEUE };
}
