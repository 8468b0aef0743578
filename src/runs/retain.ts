/** Deletes runs after their retention period: every node does this, but only one node at a time. */

import { type Monitor, type Part, startTicking } from "../lifecycle.ts";
import type { Database, Tx } from "../postgres/client.ts";
import { Prisma } from "../postgres/generated/client.ts";
import { LOWEST_ID } from "../postgres/ids.ts";
import { deleteExpiredKeys } from "./idempotency-keys.ts";

const EVERY_MS = 10 * 60_000;
/** The most rows that one transaction deletes. Small batches hold locks briefly and lose little work in a crash. */
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
 * Sweeps at once and then every ten minutes. `stop` waits for the current batch.
 * @param onSweep called after each sweep with the number of deletions and the duration in ms
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
 * Deletes expired idempotency keys and runs in batches. Ends early when `signal` is aborted or another node is
 * sweeping. A run is kept as long as a run that it triggered, so each chain is deleted from its end.
 */
export async function sweep(
  db: Database,
  { signal, batch = BATCH }: { signal?: AbortSignal; batch?: number } = {},
): Promise<DeletionCount> {
  const now = await db.now();
  const runBatch = createBatchRunner(db, signal);
  // Keys first: a run is kept while a key refers to it.
  const keys = await sweepKeys(runBatch, now, batch);
  let runs = 0;
  let before: number;
  do {
    before = runs;
    runs += await sweepJobs(runBatch, await expiries(db.prisma, now), batch);
  } while (runs > before);
  return { runs, keys };
}

/** Runs one batch in a transaction. Once it returns undefined, the sweep has to end. */
type BatchRunner = <T>(work: (tx: Tx) => Promise<T>) => Promise<T | undefined>;

function createBatchRunner(db: Database, signal: AbortSignal | undefined): BatchRunner {
  let hasLock = true;
  return async (work) => {
    if (!hasLock || signal?.aborted) return undefined;
    return db.transaction(async (tx) => {
      hasLock = await tryRetentionLock(tx);
      return hasLock ? work(tx) : undefined;
    });
  };
}

async function sweepKeys(runBatch: BatchRunner, now: Date, batch: number): Promise<number> {
  let total = 0;
  let deleted: number;
  do {
    deleted = (await runBatch((tx) => deleteExpiredKeys(tx, now, batch))) ?? 0;
    total += deleted;
  } while (deleted === batch);
  return total;
}

/** The most jobs whose runs one transaction deletes. */
const JOBS_AT_ONCE = 50;

/** Deletes the expired runs of jobs, as far as possible in one pass; returns how many. */
async function sweepJobs(runBatch: BatchRunner, expiries: readonly Expiry[], batch: number): Promise<number> {
  let total = 0;
  let rest: ExpiryPage[] = [...expiries];
  while (rest.length > 0) {
    const some = rest.slice(0, Math.min(JOBS_AT_ONCE, batch));
    const limit = Math.floor(batch / some.length);
    const done = await runBatch(async (tx) => {
      const runs = await expiredRuns(tx, some, limit);
      const deleted = await deleteRuns(
        tx,
        runs.map((run) => run.id),
      );
      return { deleted, runs };
    });
    if (done === undefined) return total;
    total += done.deleted;
    const ofJobs = Map.groupBy(done.runs, (run) => run.jobId);
    const unfinished = some.flatMap((page) => {
      const runs = ofJobs.get(page.jobId) ?? [];
      return runs.length < limit ? [] : [{ ...page, after: runs.at(-1) }];
    });
    rest = [...unfinished, ...rest.slice(some.length)];
  }
  return total;
}

/** Locks retention until the transaction ends; returns false when another transaction holds the lock. */
export async function tryRetentionLock(tx: Tx): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ locked: boolean }[]>`
    SELECT pg_try_advisory_xact_lock(hashtextextended('retention', 0)) AS locked`;
  return row?.locked === true;
}

/** The time before which the ended runs of a job have expired. */
export interface Expiry {
  jobId: string;
  endedBefore: Date;
}

/** The jobs with expired runs, deleted jobs included. The retention of a job overrides that of its schedule. */
export async function expiries(tx: Tx, now: Date): Promise<Expiry[]> {
  // Computed in seconds since the epoch: a very long retention would lead to a date that Postgres cannot store.
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

/** An ended run; the next page begins after the last one. */
export interface EndedRun {
  jobId: string;
  id: string;
  finishedAt: Date;
}

/** A page of the expired runs of a job. */
export interface ExpiryPage extends Expiry {
  after?: EndedRun | undefined;
}

/** Before all times and ids. */
const START = { finishedAt: new Date(0), id: LOWEST_ID };

/** Up to `limit` expired runs of each job, in the order in which they ended. */
export async function expiredRuns(tx: Tx, pages: readonly ExpiryPage[], limit: number): Promise<EndedRun[]> {
  const starts = pages.map(({ after = START }) => after);
  return tx.$queryRaw<EndedRun[]>`
    SELECT expired.* FROM unnest(${pages.map(({ jobId }) => jobId)}::uuid[],
      ${pages.map(({ endedBefore }) => endedBefore.toISOString())}::timestamptz[],
      ${starts.map(({ finishedAt }) => finishedAt.toISOString())}::timestamptz[], ${starts.map(({ id }) => id)}::uuid[]
    ) AS page (job_id, ended_before, after_time, after_id) CROSS JOIN LATERAL (
      SELECT job_id AS "jobId", id, finished_at AS "finishedAt" FROM run
      WHERE run.job_id = page.job_id AND finished_at < ended_before
        AND finished_at >= after_time AND (finished_at, id) > (after_time, after_id)
      ORDER BY finished_at, id LIMIT ${limit}
    ) AS expired ORDER BY expired."jobId", expired."finishedAt", expired.id`;
}

/**
 * Deletes ended runs with all rows that belong to them; returns how many. A run is kept while a run that it triggered
 * exists, while one of its deliveries is pending, or while an idempotency key refers to it.
 */
export async function deleteRuns(tx: Tx, ids: readonly string[]): Promise<number> {
  // With an array of events, Postgres looks up each run. With a join, it would read whole tables.
  const events = Prisma.sql`ARRAY(SELECT e.id FROM run_event e WHERE e.run_id = run.id)`;
  return tx.$executeRaw`
    DELETE FROM run WHERE id = ANY(${[...ids]}::uuid[])
      AND NOT EXISTS (SELECT 1 FROM run child WHERE child.parent_event_id = ANY(${events}))
      AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event_id = ANY(${events}) AND d.state = 'pending')
      AND NOT EXISTS (SELECT 1 FROM idempotency_key k WHERE k.run_id = run.id)`;
}
