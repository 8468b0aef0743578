/** Gathers calls into batches: calls that arrive while a batch is under way form the next one. */
import { setImmediate as soon } from "node:timers/promises";
import type { Database, SqlTx } from "./client.ts";
import { isDatabaseAway, isTimeout } from "./failures.ts";

/** The result of one item of a batch. */
export type Outcome<T> = { value: T } | { error: unknown };

interface Call<Item, Result> {
  item: Item;
  resolve(value: Result): void;
  reject(error: unknown): void;
}

/** The calls that wait, and whether a batch is under way. */
interface CallQueue<Item, Result> {
  waiting: Call<Item, Result>[];
  isBusy: boolean;
}

/** Runs work in one transaction. */
export type InTransaction = <T>(work: (tx: SqlTx) => Promise<T>) => Promise<T>;

/**
 * Like {@link createCoalescer}, for verbs that change the database in one transaction. A batch waits only briefly for
 * locks. When it fails as a whole, each of its items is done again in a patient transaction of its own, beside the
 * next batches: an item that is wrong or has to wait neither fails nor delays its neighbours.
 * @param run does everything in one transaction, by `inTransaction`
 */
export function createBatches<Infra extends { db: Database }, Item, Result>(
  run: (
    infra: Infra,
    items: readonly Item[],
    inTransaction: InTransaction,
  ) => Promise<readonly Outcome<Result>[]>,
  maxItems: number,
): (infra: Infra, item: Item) => Promise<Result> {
  return createCoalescer(
    (infra, items) => run(infra, items, infra.db.sqlTransaction),
    maxItems,
    (infra, item) => run(infra, [item], infra.db.transaction),
  );
}

/**
 * Returns a function that passes its calls to `run` in batches, one batch at a time. A call that arrives when no batch
 * is under way waits only for the end of this turn of the event loop.
 * @param run returns the outcomes in the order of the items; throws when it has changed nothing
 * @param maxItems the most items in one batch
 * @param runAlone does one item of a batch that has failed as a whole; without it all items of the batch fail
 */
export function createCoalescer<Context extends object, Item, Result>(
  run: (context: Context, items: readonly Item[]) => Promise<readonly Outcome<Result>[]>,
  maxItems: number,
  runAlone?: (context: Context, item: Item) => Promise<readonly Outcome<Result>[]>,
): (context: Context, item: Item) => Promise<Result> {
  const queues = new WeakMap<Context, CallQueue<Item, Result>>();

  async function runBatch(context: Context, calls: readonly Call<Item, Result>[]): Promise<void> {
    try {
      const items = calls.map(({ item }) => item);
      deliver(calls, await run(context, items));
    } catch (error) {
      // Without a database, each item alone would fail as well.
      const isHopeless = isDatabaseAway(error) && !isTimeout(error);
      if (runAlone === undefined || isHopeless) for (const { reject } of calls) reject(error);
      else
        for (const call of calls)
          runAlone(context, call.item).then((own) => deliver([call], own), call.reject);
    }
  }

  async function work(context: Context, queue: CallQueue<Item, Result>): Promise<void> {
    queue.isBusy = true;
    // Calls that the same turn of the event loop brings belong together.
    await soon();
    while (queue.waiting.length > 0) await runBatch(context, queue.waiting.splice(0, maxItems));
    queue.isBusy = false;
  }

  return (context, item) =>
    new Promise((resolve, reject) => {
      const queue = queues.get(context) ?? { waiting: [], isBusy: false };
      queues.set(context, queue);
      queue.waiting.push({ item, resolve, reject });
      if (!queue.isBusy) void work(context, queue);
    });
}

/** Gives each call its outcome. */
function deliver<Item, Result>(
  calls: readonly Call<Item, Result>[],
  outcomes: readonly Outcome<Result>[],
): void {
  for (const [index, { resolve, reject }] of calls.entries()) {
    const outcome = outcomes[index] ?? { error: new Error("a batch returned too few outcomes") };
    if ("error" in outcome) reject(outcome.error);
    else resolve(outcome.value);
  }
}
