/** Lists deliveries, newest first, and reads one with all its tries. */
import { allows, type Caller } from "../access/rules/grants.ts";
import { maskUrl } from "../access/rules/masks.ts";
import { deliveryNotFound } from "../errors.ts";
import { jobsNamed, requireKnownJobs } from "../jobs/find.ts";
import type { Database, Tx } from "../postgres/client.ts";
import { type DeliveryState, Prisma } from "../postgres/generated/client.ts";
import { idRange, type TimeRange } from "../postgres/ids.ts";
import { findNewest, type IndexPart, type Search, type SearchPath } from "../postgres/newest-first.ts";

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
 * Lists deliveries, newest first, older than `beforeId`; `history` has only the last try. `stoppedAt`: the search for
 * rare deliveries stopped at this id, and older ones may follow.
 * @throws job_not_found for a name that no job ever had
 */
export async function readDeliveries(
  db: Database,
  caller: Caller,
  filter: DeliveryFilter,
  page: DeliveryPage,
): Promise<{ deliveries: DeliveryDetail[]; stoppedAt: string | undefined }> {
  await requireKnownJobs(db.prisma, filter.jobs);
  const { search, path } = await deliverySearch(db.prisma, filter, page);
  const { ids, stoppedAt } = await findNewest(db.prisma, search, [path]);
  const deliveries = await db.prisma.delivery.findMany({
    where: { id: { in: ids } },
    include: SUMMARY,
    orderBy: { id: "desc" },
  });
  return { deliveries: deliveries.map((delivery) => shownDelivery(caller, delivery)), stoppedAt };
}

/** A page of the list: the deliveries older than `beforeId`, or the newest ones without it. */
export interface DeliveryPage {
  beforeId?: string | undefined;
  limit: number;
}

/** The search for the deliveries of a page, and the way to do it. Exported for tests of its plans. */
export async function deliverySearch(
  tx: Tx,
  filter: DeliveryFilter,
  { beforeId, limit }: DeliveryPage,
): Promise<{ search: Search; path: SearchPath }> {
  const { states, runId, jobs, since, until } = filter;
  const jobIds = jobs && (await jobsNamed(tx, jobs)).map(({ id }) => id);
  const conditions = [
    since && Prisma.sql`delivery.created_at >= ${since}`,
    until && Prisma.sql`delivery.created_at < ${until}`,
    states && Prisma.sql`delivery.state = ANY(${[...states]}::delivery_state[])`,
    jobIds && Prisma.sql`delivery.job_id = ANY(${jobIds}::uuid[])`,
  ].filter((condition) => typeof condition === "object");
  const ids = { before: beforeId, ...idRange(filter) };
  const search = { table: Prisma.sql`delivery`, ids, conditions, limit };
  return { search, path: [indexPart(runId, jobIds, states)] };
}

/** The index in which to look. That of the states leaves out `delivered`, which most of the newest deliveries are. */
function indexPart(
  runId: string | undefined,
  jobIds: readonly string[] | undefined,
  states: readonly DeliveryState[] | undefined,
): IndexPart {
  if (runId !== undefined) {
    const events = Prisma.sql`ARRAY(SELECT e.id FROM run_event e WHERE e.run_id = ${runId}::uuid)`;
    return { is: Prisma.sql`delivery.event_id = ANY(${events})`, columns: [], isSmall: true };
  }
  if (jobIds !== undefined) {
    return {
      wanted: { rows: Prisma.sql`unnest(${[...jobIds]}::uuid[]) AS wanted (job_id)`, count: jobIds.length },
      is: Prisma.sql`delivery.job_id = ANY(ARRAY[wanted.job_id])`,
      columns: [Prisma.sql`delivery.job_id`],
    };
  }
  if (states === undefined || states.includes("delivered")) return { is: Prisma.sql`TRUE`, columns: [] };
  const distinct = [...new Set(states)];
  return {
    wanted: {
      rows: Prisma.sql`unnest(${distinct}::delivery_state[]) AS wanted (state)`,
      count: distinct.length,
    },
    is: Prisma.sql`delivery.state <> 'delivered' AND delivery.state = ANY(ARRAY[wanted.state])`,
    columns: [Prisma.sql`delivery.state`],
  };
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
