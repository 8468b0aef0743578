/** Writes deliveries that are due, with their messages, as the end of a run would leave them. */

import { createDeliveries } from "../../src/deliveries/create.ts";
import { hostOf } from "../../src/deliveries/rules/host.ts";
import type { Infra } from "../../src/infra.ts";
import { newId } from "../../src/postgres/ids.ts";
import { DELIVERY_QUEUE, deliveryMessage } from "../../src/queue/messages.ts";
import { saveJob, saveRun } from "./old-runs.ts";

/** Inserts a delivery for each URL, due since `at`, and returns their ids. */
export async function insertDueDeliveries(
  { db, queue }: Infra,
  urls: readonly string[],
  at: Date = new Date(),
): Promise<string[]> {
  const { eventId } = await saveRun(db.prisma, await saveJob(db.prisma, {}), { endedDaysAgo: 0 });
  const deliveries = urls.map((url) => ({
    ...{ id: newId(), eventId, url, action: "notify_webhook" as const, options: {} },
    ...{ messageId: newId(), createdAt: at, nextTryAt: at },
  }));
  await db.transaction(async (tx) => {
    await createDeliveries(tx, deliveries);
    const messages = deliveries.map(({ id, url, messageId }) =>
      deliveryMessage({ id, host: hostOf(url) }, messageId),
    );
    await queue.send(tx, DELIVERY_QUEUE, messages);
  });
  return deliveries.map(({ id }) => id);
}

/** The paths `/0`, `/1` and so on of a receiver. */
export function urlsOf(receiver: { url(path: string): string }, count: number): string[] {
  return Array.from({ length: count }, (_, index) => receiver.url(`/${index}`));
}

/** How many messages of deliveries are postponed. */
export async function countPostponed({ db }: Infra): Promise<number> {
  const [row] = await db.prisma.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM pgboss.job WHERE name = ${DELIVERY_QUEUE} AND state < 'active' AND priority < 0`;
  return row?.count ?? 0;
}
