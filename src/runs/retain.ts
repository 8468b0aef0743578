/** Keeps the history as long as it is wanted: any node deletes what is too old, one of them at a time. */
import { type Monitor, type Part, startTicking } from "../lifecycle.ts";
import type { Database, Tx } from "../postgres/client.ts";
import { Prisma } from "../postgres/generated/client.ts";
import { deleteExpiredKeys } from "./trigger-by-caller.ts";

const EVERY_MS = 10 * 60_000;
/** Rows that one transaction deletes at most: locks are short, and a crash loses little work. */
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
 * Sweeps now and every ten minutes; stops after the batch that is being deleted.
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
 * Deletes idempotency keys and runs that are too old, in batches; ends early when `signal` says so, or when another
 * node is at it. A run whose children are kept stays with them: leaves go first, then what has become one.
 */
export async function sweep(
  db: Database,
  { signal, batch = BATCH }: { signal?: AbortSignal; batch?: number } = {},
): Promise<DeletionCount> {
  const now = await db.now();
  const turn = takeTurns(db, signal);
  // Keys first: a run stays while a key stands for it.
  const keys = await sweepKeys(turn, now, batch);
  let runs = 0;
  let before: number;
  do {
    before = runs;
    for (const expiry of await expiries(db.prisma, now)) runs += await sweepJob(turn, expiry, batch);
  } while (runs > before);
  return { runs, keys };
}

/** Does one batch in a transaction; undefined, and nothing done from then on, when the sweep has to end. */
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

/** Goes once through the runs of a job that are too old; answers how many could be deleted. */
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

/** Lets one transaction at a time delete; answers whether this is the one. */
export async function tryRetentionLock(tx: Tx): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ locked: boolean }[]>`
    SELECT pg_try_advisory_xact_lock(hashtextextended('retention', 0)) AS locked`;
  return row?.locked === true;
}

/** A job of which runs that ended before a time are too old. */
export interface Expiry {
  jobId: string;
  endedBefore: Date;
}

/** The jobs, deleted ones too, that have runs which are older than the job's or else its schedule's retention. */
export async function expiries(tx: Tx, now: Date): Promise<Expiry[]> {
  // Counted in seconds since the epoch: a retention of a thousand centuries leads to no date that Postgres has.
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

/** Where a page of ended runs begins: after this one. */
export interface EndedRun {
  id: string;
  finishedAt: Date;
}

/** Up to `limit` runs of a job that are too old, by their end. */
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
 * Deletes those of the ended runs that nothing needs, with all that belongs to them; answers how many. A run stays
 * while a run that it triggered is there, a delivery of it is pending, or an idempotency key stands for it.
 */
export async function deleteRuns(tx: Tx, ids: readonly string[]): Promise<number> {
  // An array of events makes Postgres look up each run; joined to them, it would read whole tables instead.
  const events = Prisma.sql`ARRAY(SELECT e.id FROM run_event e WHERE e.run_id = run.id)`;
  return tx.$executeRaw`
    DELETE FROM run WHERE id = ANY(${[...ids]}::uuid[])
      AND NOT EXISTS (SELECT 1 FROM run child WHERE child.parent_event_id = ANY(${events}))
      AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event_id = ANY(${events}) AND d.state = 'pending')
      AND NOT EXISTS (SELECT 1 FROM idempotency_key k WHERE k.run_id = run.id)`;
}
