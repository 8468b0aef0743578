/** Queries that read deliveries with their run and tries: one, or a list by filters. */

import type { Tx } from "../postgres/client.ts";
import type { DeliveryState, Prisma } from "../postgres/generated/client.ts";
import { idRange, type TimeRange } from "../postgres/ids.ts";

const EVENT = {
  select: { event: true, attempt: true, run: { select: { id: true, job: { select: { name: true } } } } },
} as const;
const DETAIL = { event: EVENT, history: { orderBy: { number: "asc" } } } as const;
const SUMMARY = { event: EVENT, history: { orderBy: { number: "desc" }, take: 1 } } as const;

export type DeliveryDetail = Prisma.DeliveryGetPayload<{ include: typeof DETAIL }>;

/** Which deliveries to list. */
export interface DeliveryFilter extends TimeRange {
  states?: readonly DeliveryState[] | undefined;
  runId?: string | undefined;
  /** Names of jobs, deleted ones included. */
  jobs?: readonly string[] | undefined;
}

/** A delivery with all its tries. */
export async function readDelivery(tx: Tx, id: string): Promise<DeliveryDetail | undefined> {
  return (await tx.delivery.findUnique({ where: { id }, include: DETAIL })) ?? undefined;
}

/** Deliveries newest first, from before `beforeId` on; `history` has the last try only. */
export async function listDeliveries(
  tx: Tx,
  filter: DeliveryFilter,
  page: { beforeId?: string | undefined; limit: number },
): Promise<DeliveryDetail[]> {
  const { states, runId, jobs, since, until } = filter;
  const { from, to } = idRange(filter);
  return tx.delivery.findMany({
    where: {
      AND: [
        page.beforeId ? { id: { lt: page.beforeId } } : {},
        from ? { id: { gte: from } } : {},
        to ? { id: { lt: to } } : {},
        since ? { createdAt: { gte: since } } : {},
        until ? { createdAt: { lt: until } } : {},
        states ? { state: { in: [...states] } } : {},
        runId ? { event: { runId } } : {},
        jobs ? { event: { run: { job: { name: { in: [...jobs] } } } } } : {},
      ],
    },
    include: SUMMARY,
    orderBy: { id: "desc" },
    take: page.limit,
  });
}
