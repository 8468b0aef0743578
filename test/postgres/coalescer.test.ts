/** Batches form of the calls that arrive while another batch is under way. */
import { expect, it, vi } from "vitest";
import { createCoalescer, type Outcome } from "../../src/postgres/coalescer.ts";

const AWAY = Object.assign(new Error("the database is away"), { code: "ECONNREFUSED" });

const LOCKED = Object.assign(new Error("canceling statement due to lock timeout"), { code: "55P03" });

/** A coalescer whose batches wait for `finish`, and the batches that it ran. */
function coalescer(run: (items: readonly number[]) => Outcome<number>[] = (items) => items.map(doubled)) {
  const batches: number[][] = [];
  let gate = Promise.withResolvers<void>();
  const runAll = async (_: object, items: readonly number[]) => {
    batches.push([...items]);
    await gate.promise;
    return run(items);
  };
  const call = createCoalescer(runAll, 3, (context, item) => runAll(context, [item]));
  const finish = () => {
    gate.resolve();
    gate = Promise.withResolvers<void>();
    gate.resolve();
  };
  return { call, batches, finish };
}

const doubled = (item: number): Outcome<number> => ({ value: item * 2 });
const ONE = {};

it("takes the calls of one turn together, and those that follow, as many as a batch takes", async () => {
  const { call, batches, finish } = coalescer();
  const results = [1, 2].map((item) => call(ONE, item));
  await vi.waitUntil(() => batches.length > 0);
  results.push(...[3, 4, 5, 6].map((item) => call(ONE, item)));
  finish();
  expect(await Promise.all(results)).toEqual([2, 4, 6, 8, 10, 12]);
  expect(batches).toEqual([[1, 2], [3, 4, 5], [6]]);
});

it("keeps calls in different contexts apart", async () => {
  const { call, batches, finish } = coalescer();
  const results = [call(ONE, 1), call({}, 2)];
  finish();
  expect(await Promise.all(results)).toEqual([2, 4]);
  expect(batches).toEqual([[1], [2]]);
});

it("fails only the item whose outcome is an error", async () => {
  const refuse = (items: readonly number[]) =>
    items.map((item) => (item === 2 ? { error: new Error("refused") } : doubled(item)));
  const { call, finish } = coalescer(refuse);
  const results = [1, 2, 3].map((item) => call(ONE, item));
  finish();
  expect(await Promise.allSettled(results)).toMatchObject([
    { value: 2 },
    { reason: { message: "refused" } },
    { value: 6 },
  ]);
});

it("does the items of a failed batch again, each alone", async () => {
  const { call, batches, finish } = coalescer((items) => {
    if (items.includes(3)) throw new Error("3 is bad");
    return items.map(doubled);
  });
  const results = [2, 3, 4].map((item) => call(ONE, item));
  finish();
  expect(await Promise.allSettled(results)).toMatchObject([
    { value: 4 },
    { reason: { message: "3 is bad" } },
    { value: 8 },
  ]);
  expect(batches).toEqual([[2, 3, 4], [2], [3], [4]]);
});

it("goes on with the next batch while an item of a failed one still waits", async () => {
  const lock = Promise.withResolvers<void>();
  const call = createCoalescer(
    async (_: object, items: readonly number[]): Promise<Outcome<number>[]> => {
      if (items.includes(2)) throw LOCKED;
      return items.map(doubled);
    },
    1,
    async (_, item) => {
      await lock.promise;
      return [doubled(item)];
    },
  );
  const waiting = call(ONE, 2);
  expect(await call(ONE, 3)).toBe(6);
  lock.resolve();
  expect(await waiting).toBe(4);
});

it("fails a whole batch at once while the database is away, and works when it is back", async () => {
  let away = true;
  const { call, batches, finish } = coalescer((items) => {
    if (away) throw AWAY;
    return items.map(doubled);
  });
  const results = [1, 2, 3].map((item) => call(ONE, item));
  finish();
  expect(await Promise.allSettled(results)).toMatchObject(results.map(() => ({ reason: AWAY })));
  expect(batches).toEqual([[1, 2, 3]]);
  away = false;
  expect(await call(ONE, 4)).toBe(8);
});
