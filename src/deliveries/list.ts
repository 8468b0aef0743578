/** Lists deliveries, newest first, and reads one with all its tries. */
import { allows } from "../access/rules/grants.ts";
import { maskUrl } from "../access/rules/masks.ts";
import type { CallerDeps } from "../deps.ts";
import { deliveryNotFound } from "../errors.ts";
import { requireKnownJobs } from "../jobs/find.ts";
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

/** A delivery with all its tries. Throws delivery_not_found. */
export async function readOneDelivery(deps: CallerDeps, id: string): Promise<DeliveryDetail> {
  const delivery = await readDelivery(deps.db.prisma, id);
  if (delivery === undefined) throw deliveryNotFound(id);
  return shownDelivery(deps, delivery);
}

/** The paths of webhooks are for admins. */
function shownDelivery({ caller }: CallerDeps, delivery: DeliveryDetail): DeliveryDetail {
  return allows(caller, "admin") ? delivery : { ...delivery, url: maskUrl(delivery.url) };
}

/** Deliveries newest first, each with its last try. Throws job_not_found for the name of no job. */
export async function readDeliveries(
  deps: CallerDeps,
  filter: DeliveryFilter,
  page: { beforeId?: string | undefined; limit: number },
): Promise<DeliveryDetail[]> {
  await requireKnownJobs(deps.db.prisma, filter.jobs);
  return (await listDeliveries(deps.db.prisma, filter, page)).map((delivery) =>
    shownDelivery(deps, delivery),
  );
}
