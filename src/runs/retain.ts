/** Keeps the history as long as it is wanted: any node deletes what is too old, one of them at a time. */
import type { Deps } from "../deps.ts";
import type { Tx } from "../postgres/client.ts";
import { deleteOldKeys } from "./idempotency.ts";
import {
  deleteRuns,
  type EndedRun,
  type Expiry,
  expiredRuns,
  expiries,
  tryRetentionLock,
} from "./retention-rows.ts";

const EVERY_MS = 10 * 60_000;
/** Rows that one transaction deletes at most: locks are short, and a crash loses little work. */
const BATCH = 500;

/** How many runs and idempotency keys were deleted. */
export interface Deleted {
  runs: number;
  keys: number;
}

/** What went by one sweep, and how long it took. */
export interface Swept extends Deleted {
  ms: number;
}

export interface Retention {
  /** What this process has deleted since it started. */
  deleted(): Deleted;
  /** Ends after the batch that is being deleted. */
  stop(): Promise<void>;
}

/** Sweeps now and every ten minutes; `onSwept` is told of each sweep. */
export function startRetention(
  deps: Deps,
  onSwept: (swept: Swept) => void,
  onError: (error: Error) => void,
): Retention {
  const stopping = new AbortController();
  const total: Deleted = { runs: 0, keys: 0 };
  const sweepOnce = async () => {
    const begun = performance.now();
    const { runs, keys } = await sweep(deps, { signal: stopping.signal });
    total.runs += runs;
    total.keys += keys;
    onSwept({ runs, keys, ms: Math.round(performance.now() - begun) });
  };
  let sweeping = sweepOnce().catch(onError);
  const timer = setInterval(() => {
    // A sweep may take longer than the interval; the next one waits for it.
    sweeping = sweeping.then(sweepOnce).catch(onError);
  }, EVERY_MS);
  return {
    deleted: () => ({ ...total }),
    async stop() {
      clearInterval(timer);
      stopping.abort();
      await sweeping;
    },
  };
}

/**
 * Deletes idempotency keys and runs that are too old, in batches; ends early when `signal` says so, or when another
 * node is at it. A run whose children are kept stays with them: leaves go first, then what has become one.
 */
export async function sweep(
  deps: Deps,
  { signal, batch = BATCH }: { signal?: AbortSignal; batch?: number } = {},
): Promise<Deleted> {
  const now = await deps.db.now();
  const turn = takeTurns(deps, signal);
  // Keys first: a run stays while a key stands for it.
  const keys = await sweepKeys(turn, now, batch);
  let runs = 0;
  let before: number;
  do {
    before = runs;
    for (const expiry of await expiries(deps.db.prisma, now)) runs += await sweepJob(turn, expiry, batch);
  } while (runs > before);
  return { runs, keys };
}

/** Does one batch in a transaction; undefined, and nothing done from then on, when the sweep has to end. */
type Turn = <T>(work: (tx: Tx) => Promise<T>) => Promise<T | undefined>;

function takeTurns({ db }: Deps, signal: AbortSignal | undefined): Turn {
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
    deleted = (await turn((tx) => deleteOldKeys(tx, now, batch))) ?? 0;
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
