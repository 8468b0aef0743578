/** Claims due deliveries, and reads what decides how they are sent. */
import type { Infra } from "../infra.ts";
import type { ActionOptions, NotifyAction } from "../jobs/rules/definition.ts";
import type { SqlTx } from "../postgres/client.ts";
import { DELIVERY_QUEUE, type DeliveryMessage } from "../queue/messages.ts";
import type { Message } from "../queue/queue.ts";
import type { BusyHosts } from "./busy-hosts.ts";

/** A claimed delivery that is due. */
export interface ClaimedDelivery {
  message: Message<DeliveryMessage>;
  id: string;
  eventId: string;
  /** As the action names it: it may be the name of a secret. */
  url: string;
  action: NotifyAction;
  options: ActionOptions;
  tries: number;
  /** The number of tries before the latest redelivery. */
  earlierTries: number;
  runId: string;
  /** The frozen body of the event, unless it is long. */
  frozen: string | undefined;
  /** Returns the present time of the database's clock. */
  now(): Date;
}

type DueRow = Omit<ClaimedDelivery, "message" | "frozen" | "now"> & { messageId: string; now: Date };

/** The longest body (bytes) that is read with the claim. A longer one is read when its delivery has a place. */
const SHORT_BODY_BYTES = 16 * 1024;

/**
 * Claims up to `count` deliveries to hosts that have room, and puts back what is too much for one host. A message whose
 * delivery is no longer due is acknowledged.
 */
export async function claimDeliveries(
  { db, queue }: Infra,
  count: number,
  hosts: Pick<BusyHosts, "full" | "hasRoom">,
): Promise<ClaimedDelivery[]> {
  return db.sqlTransaction(async (tx) => {
    const claimed = await queue.claim<DeliveryMessage>(DELIVERY_QUEUE, count, tx, hosts.full());
    if (claimed.length === 0) return [];
    const { messages, tooMany } = withinRoom(claimed, hosts);
    await queue.putBack(tx, tooMany);
    const [rows, bodies] = await Promise.all([readDue(tx, messages), readShortBodies(tx, messages)]);
    const due = new Map(rows.map((row) => [row.messageId, row]));
    const frozen = new Map(bodies.map(({ id, body }) => [id, body]));
    const stale = messages.filter(({ id }) => !due.has(id));
    if (stale.length > 0) await queue.acknowledge(tx, ...stale);
    const readAt = performance.now();
    return messages.flatMap((message) => {
      const row = due.get(message.id);
      if (row === undefined) return [];
      const { now: databaseTime, messageId: _, ...delivery } = row;
      const now = () => new Date(databaseTime.getTime() + performance.now() - readAt);
      return [{ ...delivery, frozen: frozen.get(row.eventId), message, now }];
    });
  });
}

/** A message from an earlier release has no group, so the notifier finds out whether its host has room. */
function withinRoom(
  claimed: readonly Message<DeliveryMessage>[],
  hosts: Pick<BusyHosts, "hasRoom">,
): Record<"messages" | "tooMany", Message<DeliveryMessage>[]> {
  const counts = new Map<string, number>();
  const { messages = [], tooMany = [] } = Object.groupBy(claimed, ({ group }) => {
    if (group === undefined) return "messages";
    const others = counts.get(group) ?? 0;
    counts.set(group, others + 1);
    return hosts.hasRoom(group, others) ? "messages" : "tooMany";
  });
  return { messages, tooMany };
}

/** Only a pending delivery has a message; a condition on the state would let Postgres read all that are pending. */
function readDue(tx: SqlTx, messages: readonly Message<DeliveryMessage>[]): Promise<DueRow[]> {
  return tx.$queryRaw`
    SELECT d.id, d.event_id AS "eventId", d.url, d.action, d.options, d.tries, d.earlier_tries AS "earlierTries",
      e.run_id AS "runId", d.message_id AS "messageId", now()
    FROM delivery d JOIN run_event e ON e.id = d.event_id
    WHERE d.id = ANY(${messages.map(({ data }) => data.delivery_id)}::uuid[])
      AND d.message_id = ANY(${messages.map(({ id }) => id)}::uuid[])`;
}

/** Reads each body once, however many deliveries share it. */
function readShortBodies(
  tx: SqlTx,
  messages: readonly Message<DeliveryMessage>[],
): Promise<{ id: string; body: string }[]> {
  return tx.$queryRaw`
    SELECT id, body FROM run_event WHERE octet_length(body) <= ${SHORT_BODY_BYTES}
      AND id IN (SELECT event_id FROM delivery WHERE id = ANY(${messages.map(({ data }) => data.delivery_id)}::uuid[]))`;
}
