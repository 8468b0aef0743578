/** Queries that several verbs share: read and lock a delivery, and replace its message. */
import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";

const SENDABLE = { event: { select: { runId: true } } } as const;
export type SendableDelivery = Prisma.DeliveryGetPayload<{ include: typeof SENDABLE }>;

/** Reads a delivery with the run of its event. */
async function findDelivery(tx: Tx, id: string): Promise<SendableDelivery | undefined> {
  return (await tx.delivery.findUnique({ where: { id }, include: SENDABLE })) ?? undefined;
}

/** Locks a delivery until the transaction ends, and reads it. */
export async function lockDelivery(tx: Tx, id: string): Promise<SendableDelivery | undefined> {
  await tx.$queryRaw`SELECT 1 AS locked FROM delivery WHERE id = ${id}::uuid FOR UPDATE`;
  return findDelivery(tx, id);
}

/** Gives a pending delivery another message, and another time of its next try if `nextTryAt` is present. */
export async function replaceDeliveryMessage(
  tx: Tx,
  id: string,
  message: { messageId: string; nextTryAt?: Date },
): Promise<void> {
  await tx.delivery.update({ where: { id }, data: message });
}
