/** Counts runs, deliveries and jobs. */
import type { Database, Tx } from "../postgres/client.ts";
import type { DeliveryState } from "../postgres/generated/client.ts";
import { idRange } from "../postgres/ids.ts";
import type { RunState } from "./rules/states.ts";

const RECENT_MS = 24 * 3_600_000;

export interface Stats {
  now: Date;
  active: ActiveRuns;
  /** Runs that ended in the last 24 h. */
  ended: Map<RunState, number>;
  /** All pending deliveries, and the others of the last 24 h. */
  deliveries: Awaited<ReturnType<typeof countDeliveries>>;
  jobs: Awaited<ReturnType<typeof countJobs>>;
}

/** Counts everything, one query after another. Changes between the queries can make the counts inconsistent. */
export async function readStats(db: Database): Promise<Stats> {
  const now = await db.now();
  const since = new Date(now.getTime() - RECENT_MS);
  const active = await countActiveRuns(db.prisma);
  const ended = await countEndedRuns(db.prisma, since);
  const deliveries = await countDeliveries(db.prisma, since);
  return { now, active, ended, deliveries, jobs: await countJobs(db.prisma) };
}

/** Runs that have not ended. */
export interface ActiveRuns {
  queued: number;
  running: number;
  retrying: number;
  /** Queued runs that wait because their job has reached its limit. */
  waitingForPlace: number;
  /** When the oldest queued run was triggered. */
  oldestQueued: Date | null;
}

async function countActiveRuns(tx: Tx): Promise<ActiveRuns> {
  const [row] = await tx.$queryRaw<ActiveRuns[]>`
    SELECT (count(*) FILTER (WHERE state = 'queued'))::int AS queued,
      (count(*) FILTER (WHERE state = 'running'))::int AS running,
      (count(*) FILTER (WHERE state = 'retrying'))::int AS retrying,
      (count(*) FILTER (WHERE state = 'queued' AND message_id IS NULL))::int AS "waitingForPlace",
      min(triggered_at) FILTER (WHERE state = 'queued') AS "oldestQueued"
    FROM run WHERE ended_as IS NULL`;
  return requireRow(row);
}

/**
 * How many runs have ended since a time, by state; states without runs are left out. The query reads an index job by
 * job, and not the runs; OFFSET keeps Postgres from joining the whole history instead.
 */
async function countEndedRuns(tx: Tx, since: Date): Promise<Map<RunState, number>> {
  const rows = await tx.$queryRaw<{ state: RunState; count: number }[]>`
    SELECT ended.state, count(*)::int AS count
    FROM job CROSS JOIN LATERAL (
      SELECT ended_as AS state FROM run WHERE job_id = job.id AND finished_at >= ${since} OFFSET 0
    ) AS ended GROUP BY ended.state`;
  return new Map(rows.map(({ state, count }) => [state, count]));
}

/** Counts all pending deliveries, and the others that were created since a time. */
export async function countDeliveries(tx: Tx, since: Date): Promise<Record<DeliveryState, number>> {
  const { from } = idRange({ since });
  const [row] = await tx.$queryRaw<Record<DeliveryState, number>[]>`
    SELECT (SELECT count(*)::int FROM delivery WHERE state = 'pending') AS pending,
      (count(*) FILTER (WHERE state = 'delivered'))::int AS delivered,
      (count(*) FILTER (WHERE state = 'failed'))::int AS failed,
      (count(*) FILTER (WHERE state = 'blocked'))::int AS blocked
    FROM delivery WHERE id >= ${from}::uuid AND created_at >= ${since}`;
  return requireRow(row);
}

/** How many live jobs are enabled, paused and disabled. */
export async function countJobs(tx: Tx): Promise<{ enabled: number; paused: number; disabled: number }> {
  const [row] = await tx.$queryRaw<{ enabled: number; paused: number; disabled: number }[]>`
    SELECT (count(*) FILTER (WHERE r.enabled AND j.paused_at IS NULL))::int AS enabled,
      (count(*) FILTER (WHERE r.enabled AND j.paused_at IS NOT NULL))::int AS paused,
      (count(*) FILTER (WHERE NOT r.enabled))::int AS disabled
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id WHERE j.deleted_at IS NULL`;
  return requireRow(row);
}

function requireRow<T>(row: T | undefined): T {
  if (row === undefined) throw new Error("a count returns one row");
  return row;
}
