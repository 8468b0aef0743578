/** Tests of retention sweeps: what they delete and keep, in batches, on one node at a time. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DeletionCount, startRetention, sweep, tryRetentionLock } from "../../src/runs/retain.ts";
import {
  DAY_MS,
  type OldJob,
  type OldRun,
  saveDelivery,
  saveJob,
  saveKey,
  saveRun,
} from "../support/old-runs.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";
import { testMonitor } from "../support/test-monitor.ts";

let infra: TestInfra;
let job: OldJob;
beforeEach(async () => {
  infra = await testInfra();
  job = await saveJob(infra.db.prisma, { own: 7 * DAY_MS });
}, 30_000);
afterEach(() => infra?.[Symbol.asyncDispose]());

const save = (endedDaysAgo: number | null, parent?: OldRun, of = job) =>
  saveRun(infra.db.prisma, of, { endedDaysAgo, ...(parent && { parent }) });
const remaining = async () => {
  const runs = await infra.db.prisma.run.findMany({ select: { id: true }, orderBy: { finishedAt: "asc" } });
  return runs.map((run) => run.id);
};

describe("a sweep", () => {
  it("deletes only runs that ended before the retention period", async () => {
    const forever = await saveJob(infra.db.prisma, {});
    await save(8);
    const kept = [await save(300, undefined, forever), await save(6), await save(null)];
    expect(await sweep(infra.db)).toEqual({ runs: 1, keys: 0 });
    expect(await remaining()).toEqual(kept.map((run) => run.id));
  });

  it("keeps all ancestors of a kept run, and deletes the whole chain once that run is too old", async () => {
    const grandparent = await save(30);
    const parent = await save(29, grandparent);
    const sibling = await save(28, grandparent);
    const child = await save(6, parent);
    await save(27, sibling);
    expect(await sweep(infra.db)).toEqual({ runs: 2, keys: 0 });
    expect(await remaining()).toEqual([grandparent.id, parent.id, child.id]);
    const ended = { finishedAt: new Date(Date.now() - 8 * DAY_MS) };
    await infra.db.prisma.run.update({ where: { id: child.id }, data: ended });
    expect(await sweep(infra.db)).toEqual({ runs: 3, keys: 0 });
    expect(await remaining()).toEqual([]);
  });

  it("deletes runs behind a batch of runs that must stay", async () => {
    for (let day = 30; day > 25; day--) await save(6, await save(day));
    await save(8);
    expect(await sweep(infra.db, { batch: 2 })).toEqual({ runs: 1, keys: 0 });
    expect(await remaining()).toHaveLength(10);
  });

  it("keeps a run until its deliveries are finished", async () => {
    const id = await saveDelivery(infra.db.prisma, await save(8), "pending");
    expect(await sweep(infra.db)).toEqual({ runs: 0, keys: 0 });
    await infra.db.prisma.delivery.update({ where: { id }, data: { state: "failed" } });
    expect(await sweep(infra.db)).toEqual({ runs: 1, keys: 0 });
  });

  it("deletes idempotency keys after a day, and keeps the run of a younger key", async () => {
    const hourly = await saveJob(infra.db.prisma, { own: 3_600_000 });
    const [young, old] = [await save(0.5, undefined, hourly), await save(8)];
    await saveKey(infra.db.prisma, young, 0.5);
    await saveKey(infra.db.prisma, old, 8);
    expect(await sweep(infra.db)).toEqual({ runs: 1, keys: 1 });
    expect(await remaining()).toEqual([young.id]);
  });

  it("deletes in batches", async () => {
    const chained = await save(20);
    for (let day = 19; day > 13; day--) await saveKey(infra.db.prisma, await save(day, chained), 2);
    const left: string[] = [];
    const transaction: typeof infra.db.transaction = async (work) => {
      const result = await infra.db.transaction(work);
      left.push(`${await infra.db.prisma.idempotencyKey.count()} + ${await infra.db.prisma.run.count()}`);
      return result;
    };
    const deleted = await sweep({ ...infra.db, transaction }, { batch: 4 });
    expect(deleted).toEqual({ runs: 7, keys: 6 });
    expect(left).toEqual(["2 + 7", "0 + 7", "0 + 4", "0 + 1", "0 + 0"]);
  });

  it("stops after the current batch", async () => {
    for (let day = 8; day < 12; day++) await save(day);
    const stopping = new AbortController();
    const transaction: typeof infra.db.transaction = async (work) => {
      const result = await infra.db.transaction(work);
      if ((await remaining()).length < 4) stopping.abort();
      return result;
    };
    const options = { batch: 2, signal: stopping.signal };
    expect(await sweep({ ...infra.db, transaction }, options)).toEqual({ runs: 2, keys: 0 });
    expect(await remaining()).toHaveLength(2);
  });
});

describe("several nodes", () => {
  it("skip a sweep while another node sweeps", async () => {
    await save(8);
    await infra.db.transaction(async (tx) => {
      expect(await tryRetentionLock(tx)).toBe(true);
      expect(await sweep(infra.db)).toEqual({ runs: 0, keys: 0 });
    });
    expect(await sweep(infra.db)).toEqual({ runs: 1, keys: 0 });
  });

  it("delete each run once", async () => {
    for (let day = 10; day < 30; day++) await save(day);
    const sweeps = await Promise.all([1, 2, 3].map(() => sweep(infra.db, { batch: 3 })));
    expect(sweeps.reduce((sum, { runs }) => sum + runs, 0)).toBe(20);
    expect(await remaining()).toEqual([]);
  });
});

describe("the loop", () => {
  it("sweeps at its start, reports and counts what it deleted", async () => {
    await saveKey(infra.db.prisma, await save(8), 2);
    const { promise, resolve, reject } = Promise.withResolvers<DeletionCount>();
    const retention = startRetention(infra.db, testMonitor(reject), resolve);
    expect(await promise).toEqual({ runs: 1, keys: 1, ms: expect.any(Number) });
    expect(retention.deleted()).toEqual({ runs: 1, keys: 1 });
    await retention.stop();
  });

  it("reports an error, and can still be stopped", async () => {
    const broken = { ...infra.db, now: () => Promise.reject(new Error("no database")) };
    const { promise, resolve, reject } = Promise.withResolvers<Error>();
    const retention = startRetention(broken, testMonitor(resolve), () => reject(new Error("swept")));
    expect((await promise).message).toBe("no database");
    await retention.stop();
  });
});
