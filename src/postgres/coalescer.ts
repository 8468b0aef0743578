/** Gathers calls into batches: calls that arrive while a batch is under way form the next one. */
import { isDatabaseAway } from "./failures.ts";

/** The result of one item of a batch. */
export type Outcome<T> = { value: T } | { error: unknown };

interface Call<Item, Result> {
  item: Item;
  resolve(value: Result): void;
  reject(error: unknown): void;
}

/** The calls that wait, and whether a batch is under way. */
interface Line<Item, Result> {
  waiting: Call<Item, Result>[];
  isBusy: boolean;
}

/**
 * Returns a function that passes its calls to `run` in batches, one batch at a time. A call that arrives when no batch
 * is under way waits for nobody. When a batch fails as a whole, its items are done again one by one, so that one of
 * them cannot fail its neighbours.
 * @param run returns the outcomes in the order of the items; throws when it has changed nothing
 * @param maxItems the most items in one batch
 */
export function createCoalescer<Context extends object, Item, Result>(
  run: (context: Context, items: readonly Item[]) => Promise<readonly Outcome<Result>[]>,
  maxItems: number,
): (context: Context, item: Item) => Promise<Result> {
  const lines = new WeakMap<Context, Line<Item, Result>>();

  async function runBatch(context: Context, calls: readonly Call<Item, Result>[]): Promise<void> {
    try {
      const outcomes = await run(
        context,
        calls.map(({ item }) => item),
      );
      for (const [index, { resolve, reject }] of calls.entries()) {
        const outcome = outcomes[index] ?? { error: new Error("a batch returned too few outcomes") };
        if ("error" in outcome) reject(outcome.error);
        else resolve(outcome.value);
      }
    } catch (error) {
      // Without a database, the items would only wait for it one after the other.
      if (calls.length === 1 || isDatabaseAway(error)) for (const { reject } of calls) reject(error);
      else for (const call of calls) await runBatch(context, [call]);
    }
  }

  async function work(context: Context, line: Line<Item, Result>): Promise<void> {
    line.isBusy = true;
    while (line.waiting.length > 0) await runBatch(context, line.waiting.splice(0, maxItems));
    line.isBusy = false;
  }

  return (context, item) =>
    new Promise((resolve, reject) => {
      const line = lines.get(context) ?? { waiting: [], isBusy: false };
      lines.set(context, line);
      line.waiting.push({ item, resolve, reject });
      if (!line.isBusy) void work(context, line);
    });
}
