/** Queries of run events, deliveries and their tries: creating, sending, and the named transitions. */
import type { ActionOptions, EventName, NotifyAction } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";

export async function insertRunEvent(
  tx: Tx,
  event: {
    id: string;
    runId: string;
    attemptId: string;
    attempt: number;
    event: EventName;
    body: string;
    refusals: { name: string; reason: string }[];
    createdAt: Date;
  },
): Promise<void> {
  await tx.runEvent.create({ data: event });
}

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

const SENDABLE = { event: { select: { body: true, runId: true } } } as const;
export type SendableDelivery = Prisma.DeliveryGetPayload<{ include: typeof SENDABLE }>;

/** A delivery with the frozen body of its event. */
export async function findDelivery(tx: Tx, id: string): Promise<SendableDelivery | undefined> {
  return (await tx.delivery.findUnique({ where: { id }, include: SENDABLE })) ?? undefined;
}

/** Locks a delivery until the transaction ends, and reads it. */
export async function lockDelivery(tx: Tx, id: string): Promise<SendableDelivery | undefined> {
  await tx.$queryRaw`SELECT 1 AS locked FROM delivery WHERE id = ${id}::uuid FOR UPDATE`;
  return findDelivery(tx, id);
}

/** One try as it went; `number` counts from 1. */
export interface Try {
  number: number;
  startedAt: Date;
  durationMs: number;
  status: number | null;
  error: string | null;
  response: string | null;
}

/** Records a try, and what the delivery is after it. */
export async function recordTry(
  tx: Tx,
  deliveryId: string,
  made: Try,
  after:
    | { state: "pending"; nextTryAt: Date; messageId: string }
    | { state: "delivered" | "failed" | "blocked"; finishedAt: Date },
): Promise<void> {
  await tx.deliveryTry.create({ data: { deliveryId, ...made } });
  const over = after.state === "pending" ? {} : { nextTryAt: null, messageId: null };
  await tx.delivery.update({ where: { id: deliveryId }, data: { ...over, ...after, tries: made.number } });
}

/** Gives a pending delivery another message; `nextTryAt` too when it is not to be tried when it was. */
export async function replaceDeliveryMessage(
  tx: Tx,
  id: string,
  message: { messageId: string; nextTryAt?: Date },
): Promise<void> {
  await tx.delivery.update({ where: { id }, data: message });
}

/** Makes a locked delivery that is over pending again; its next try is the first of a new schedule. */
export async function reopenDelivery(
  tx: Tx,
  delivery: { id: string; tries: number; messageId: string; nextTryAt: Date },
): Promise<void> {
  const { id, tries, ...data } = delivery;
  const { count } = await tx.delivery.updateMany({
    where: { id, state: { not: "pending" } },
    data: { ...data, state: "pending", finishedAt: null, earlierTries: tries },
  });
  if (count !== 1) throw new Error(`delivery ${id} cannot become pending again: it is so, or is gone`);
}

/** Pending deliveries with their messages, oldest first, after `afterId`. */
export async function pendingDeliveries(
  tx: Tx,
  afterId: string | undefined,
  limit: number,
): Promise<{ id: string; messageId: string | null }[]> {
  return tx.delivery.findMany({
    where: { state: "pending", ...(afterId === undefined ? {} : { id: { gt: afterId } }) },
    select: { id: true, messageId: true },
    orderBy: { id: "asc" },
    take: limit,
  });
}
