/** Lists deliveries, newest first, and reads one with all its tries. */
import { allows, type Caller } from "../access/rules/grants.ts";
import { maskUrl } from "../access/rules/masks.ts";
import { deliveryNotFound } from "../errors.ts";
import { requireKnownJobs } from "../jobs/find.ts";
import type { Database } from "../postgres/client.ts";
import type { DeliveryState, Prisma } from "../postgres/generated/client.ts";
import { idRange, type TimeRange } from "../postgres/ids.ts";

const EVENT = {
  select: { event: true, attempt: true, run: { select: { id: true, job: { select: { name: true } } } } },
} as const;
const DETAIL = { event: EVENT, history: { orderBy: { number: "asc" } } } as const;
const SUMMARY = { event: EVENT, history: { orderBy: { number: "desc" }, take: 1 } } as const;

export type DeliveryDetail = Prisma.DeliveryGetPayload<{ include: typeof DETAIL }>;

/** Selects deliveries; a criterion that is absent matches all. */
export interface DeliveryFilter extends TimeRange {
  states?: readonly DeliveryState[] | undefined;
  runId?: string | undefined;
  /** Names of jobs, deleted ones included. */
  jobs?: readonly string[] | undefined;
}

/**
 * Lists deliveries, newest first, older than `beforeId`; `history` has only the last try.
 * @throws job_not_found for a name that no job ever had
 */
export async function readDeliveries(
  db: Database,
  caller: Caller,
  filter: DeliveryFilter,
  page: { beforeId?: string | undefined; limit: number },
): Promise<DeliveryDetail[]> {
  const { states, runId, jobs, since, until } = filter;
  await requireKnownJobs(db.prisma, jobs);
  const { from, to } = idRange(filter);
  const deliveries = await db.prisma.delivery.findMany({
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
  return deliveries.map((delivery) => shownDelivery(caller, delivery));
}

/** Reads a delivery with all its tries. Throws delivery_not_found. */
export async function readDelivery(db: Database, caller: Caller, id: string): Promise<DeliveryDetail> {
  const delivery = await db.prisma.delivery.findUnique({ where: { id }, include: DETAIL });
  if (delivery === null) throw deliveryNotFound(id);
  return shownDelivery(caller, delivery);
}

/** Masks the URL for callers who are not admins: its path may be a secret. */
function shownDelivery(caller: Caller, delivery: DeliveryDetail): DeliveryDetail {
  return allows(caller, "admin") ? delivery : { ...delivery, url: maskUrl(delivery.url) };
}
