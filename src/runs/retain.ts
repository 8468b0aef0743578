/** Deletes runs after their retention period: on every node, one node at a time. */
import { type Monitor, type Part, startTicking } from "../lifecycle.ts";
import type { Database, Tx } from "../postgres/client.ts";
import { Prisma } from "../postgres/generated/client.ts";
import { deleteExpiredKeys } from "./trigger-by-caller.ts";

const EVERY_MS = 10 * 60_000;
/** The most rows that one transaction deletes: locks stay short, and a crash loses little work. */
const BATCH = 500;

/** How many runs and idempotency keys were deleted. */
export interface DeletionCount {
  runs: number;
  keys: number;
}

/** The part that deletes old history. */
export interface Retention extends Part {
  /** What this process has deleted since it started. */
  deleted(): DeletionCount;
}

/**
 * Sweeps now and every ten minutes. `stop` waits for the batch that is being deleted.
 * @param onSweep told after each sweep how many were deleted, and how long that took in ms
 */
export function startRetention(
  db: Database,
  monitor: Monitor,
  onSweep: (sweep: DeletionCount & { ms: number }) => void,
): Retention {
  const total: DeletionCount = { runs: 0, keys: 0 };
  const tick = async (signal: AbortSignal) => {
    const startedAt = performance.now();
    const { runs, keys } = await sweep(db, { signal });
    total.runs += runs;
    total.keys += keys;
    onSweep({ runs, keys, ms: Math.round(performance.now() - startedAt) });
  };
  return { ...startTicking({ monitor, tick, waitMs: () => EVERY_MS }), deleted: () => ({ ...total }) };
}

/**
 * Deletes expired idempotency keys and runs in batches. It ends early when `signal` is aborted or another node is
 * sweeping. A run stays while a run that it triggered stays, so the ends of chains are deleted first.
 */
export async function sweep(
  db: Database,
  { signal, batch = BATCH }: { signal?: AbortSignal; batch?: number } = {},
): Promise<DeletionCount> {
  const now = await db.now();
  const turn = takeTurns(db, signal);
  // Keys first: a run stays while a key refers to it.
  const keys = await sweepKeys(turn, now, batch);
  let runs = 0;
  let before: number;
  do {
    before = runs;
    for (const expiry of await expiries(db.prisma, now)) runs += await sweepJob(turn, expiry, batch);
  } while (runs > before);
  return { runs, keys };
}

/** Runs one batch in a transaction; returns undefined, from then on always, when the sweep has to end. */
type Turn = <T>(work: (tx: Tx) => Promise<T>) => Promise<T | undefined>;

function takeTurns(db: Database, signal: AbortSignal | undefined): Turn {
  let ours = true;
  return async (work) => {
    if (!ours || signal?.aborted) return undefined;
    return db.transaction(async (tx) => {
      ours = await tryRetentionLock(tx);
      return ours ? work(tx) : undefined;
    });
  };
}

async function sweepKeys(turn: Turn, now: Date, batch: number): Promise<number> {
  let total = 0;
  let deleted: number;
  do {
    deleted = (await turn((tx) => deleteExpiredKeys(tx, now, batch))) ?? 0;
    total += deleted;
  } while (deleted === batch);
  return total;
}

/** Goes once through the expired runs of a job; returns how many could be deleted. */
async function sweepJob(turn: Turn, expiry: Expiry, batch: number): Promise<number> {
  let total = 0;
  let last: EndedRun | undefined;
  do {
    const done = await turn(async (tx) => {
      const page = await expiredRuns(tx, expiry, last, batch);
      const deleted = await deleteRuns(
        tx,
        page.map((run) => run.id),
      );
      return { deleted, last: page.length < batch ? undefined : page.at(-1) };
    });
    total += done?.deleted ?? 0;
    last = done?.last;
  } while (last !== undefined);
  return total;
}

/** Locks retention until the transaction ends; returns false when another one holds the lock. */
export async function tryRetentionLock(tx: Tx): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ locked: boolean }[]>`
    SELECT pg_try_advisory_xact_lock(hashtextextended('retention', 0)) AS locked`;
  return row?.locked === true;
}

/** A job whose runs have expired if they ended before a time. */
export interface Expiry {
  jobId: string;
  endedBefore: Date;
}

/** The jobs, deleted ones too, with runs that expired by their own retention, or else by that of their schedule. */
export async function expiries(tx: Tx, now: Date): Promise<Expiry[]> {
  // In seconds since the epoch: a retention of a thousand centuries leads to no valid date in Postgres.
  return tx.$queryRaw<Expiry[]>`
    SELECT kept.job_id AS "jobId", kept.since AS "endedBefore"
    FROM (
      SELECT j.id AS job_id, to_timestamp(greatest(0, (${now.getTime()}::float8 - ms.value) / 1000)) AS since
      FROM job j JOIN job_revision v ON v.id = j.current_revision_id JOIN schedule s ON s.id = j.schedule_id
      CROSS JOIN coalesce(v.log_retention_ms, s.log_retention_ms) AS ms (value)
      WHERE ms.value IS NOT NULL
    ) kept
    WHERE EXISTS (SELECT 1 FROM run WHERE run.job_id = kept.job_id AND run.finished_at < kept.since)`;
}

/** The next page of ended runs begins after this one. */
export interface EndedRun {
  id: string;
  finishedAt: Date;
}

/** Up to `limit` expired runs of a job, in the order of their end. */
export async function expiredRuns(
  tx: Tx,
  { jobId, endedBefore }: Expiry,
  after: EndedRun | undefined,
  limit: number,
): Promise<EndedRun[]> {
  const rest = after
    ? Prisma.sql`AND (finished_at, id) > (${after.finishedAt}, ${after.id}::uuid)`
    : Prisma.empty;
  return tx.$queryRaw<EndedRun[]>`
    SELECT id, finished_at AS "finishedAt" FROM run
    WHERE job_id = ${jobId}::uuid AND finished_at < ${endedBefore} ${rest}
    ORDER BY finished_at, id LIMIT ${limit}`;
}

/**
 * Deletes ended runs with all rows that belong to them; returns how many. A run stays while a run that it triggered
 * exists, one of its deliveries is pending, or an idempotency key refers to it.
 */
export async function deleteRuns(tx: Tx, ids: readonly string[]): Promise<number> {
  // With an array of events Postgres looks up each run; with a join it would read whole tables.
  const events = Prisma.sql`ARRAY(SELECT e.id FROM run_event e WHERE e.run_id = run.id)`;
  return tx.$executeRaw`
    DELETE FROM run WHERE id = ANY(${[...ids]}::uuid[])
      AND NOT EXISTS (SELECT 1 FROM run child WHERE child.parent_event_id = ANY(${events}))
      AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event_id = ANY(${events}) AND d.state = 'pending')
      AND NOT EXISTS (SELECT 1 FROM idempotency_key k WHERE k.run_id = run.id)`;
}
