/** Transactions of pipelined statements: they end as a whole, and the first error is the one that is reported. */
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { type Database, openDatabase, type SqlTx } from "../../src/postgres/client.ts";
import { freshDatabase, type TestDatabase } from "../support/fresh-database.ts";

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await freshDatabase();
  db = openDatabase(database.connectionString, { maxConnections: 3 });
  await db.prisma.$executeRaw`CREATE TABLE thing (id int PRIMARY KEY)`;
}, 30_000);
afterAll(async () => {
  await db?.close();
  await database?.drop();
});
beforeEach(async () => {
  await db.prisma.$executeRaw`TRUNCATE thing`;
});

const insert = (tx: SqlTx, id: number) => tx.$executeRaw`INSERT INTO thing VALUES (${id})`;
const things = async () =>
  (await db.prisma.$queryRaw<{ id: number }[]>`SELECT id FROM thing ORDER BY id`).map(({ id }) => id);

it("commits what was sent together, in its order", async () => {
  const count = await db.sqlTransaction(async (tx) => {
    const [, , rows] = await Promise.all([
      insert(tx, 1),
      insert(tx, 2),
      tx.$queryRaw<{ count: number }[]>`SELECT count(*)::int FROM thing`,
    ]);
    return rows[0]?.count;
  });
  expect(count).toBe(2);
  expect(await things()).toEqual([1, 2]);
});

it("lets nothing that comes after the end of a failed transaction reach the database", async () => {
  let late: Promise<unknown> = Promise.resolve();
  const failed = db.sqlTransaction(async (tx) => {
    const slow = async () => {
      await insert(tx, 1);
      await delay(50);
      await insert(tx, 2);
    };
    late = slow();
    late.catch(() => undefined);
    await Promise.all([
      late,
      insert(tx, 3).then(() => {
        throw new Error("refused");
      }),
    ]);
  });
  await expect(failed).rejects.toThrow("refused");
  await expect(late).rejects.toThrow("has ended");
  await db.sqlTransaction((tx) => insert(tx, 4));
  expect(await things()).toEqual([4]);
});

it("reports the first error of a pipeline, not what follows from it", async () => {
  const nested = async (tx: SqlTx) => (await Promise.all([Promise.all([insert(tx, 1), insert(tx, 1)])]))[0];
  const failed = db.sqlTransaction(async (tx) => {
    const work = Promise.all([nested(tx), tx.$queryRaw`SELECT 1`, tx.$queryRaw`SELECT 2`]);
    // All answers arrive in one piece.
    const until = performance.now() + 300;
    process.nextTick(() => {
      while (performance.now() < until);
    });
    await work;
  });
  await expect(failed).rejects.toMatchObject({ code: "23505" });
  expect(await things()).toEqual([]);
});

it("rolls back when a statement failed whose result nobody waited for", async () => {
  const failed = db.sqlTransaction(async (tx) => {
    await insert(tx, 1);
    insert(tx, 1).catch(() => undefined);
  });
  await expect(failed).rejects.toMatchObject({ code: "23505" });
  expect(await things()).toEqual([]);
});

it("gives up a lock soon that another transaction holds", async () => {
  await insert(db.prisma, 1);
  await db.transaction(async (tx) => {
    await tx.$queryRaw`SELECT id FROM thing FOR UPDATE`;
    const waiting = db.sqlTransaction((own) => own.$executeRaw`UPDATE thing SET id = 2`);
    await expect(waiting).rejects.toMatchObject({ code: "55P03" });
  });
});

it("prepares a statement anew when the type of its result has changed", async () => {
  const read = () => db.sqlRead((tx) => tx.$queryRaw<{ id: unknown }[]>`SELECT id FROM thing`);
  await insert(db.prisma, 1);
  expect(await read()).toEqual([{ id: 1 }]);
  await db.prisma.$executeRaw`ALTER TABLE thing ALTER COLUMN id TYPE text USING id::text`;
  await expect(read()).rejects.toMatchObject({ code: "0A000" });
  expect(await read()).toEqual([{ id: "1" }]);
  await db.prisma.$executeRaw`ALTER TABLE thing ALTER COLUMN id TYPE int USING id::int`;
});

it("sends the commit with the last statement, and reports what made it fail", async () => {
  const inserted = await db.sqlTransaction(async (tx, commitNow) => {
    const inserting = insert(tx, 1);
    commitNow();
    return inserting;
  });
  expect([inserted, await things()]).toEqual([1, [1]]);
  const failed = db.sqlTransaction(async (tx, commitNow) => {
    const inserting = Promise.all([insert(tx, 2), insert(tx, 1)]);
    commitNow();
    await inserting;
  });
  await expect(failed).rejects.toMatchObject({ code: "23505" });
  expect(await things()).toEqual([1]);
});
