/** Tests of the rows of retention: which runs are too old, what is deleted with them, and that queries use indexes. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase, type Tx } from "../../src/postgres/client.ts";
import { deleteRuns, expiredRuns, expiries } from "../../src/runs/retain.ts";
import { freshDatabase, type TestDatabase } from "../support/fresh-database.ts";
import { DAY_MS, saveDelivery, saveJob, saveKey, saveRevision, saveRun } from "../support/old-runs.ts";

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await freshDatabase();
  db = openDatabase(database.connectionString, { maxConnections: 2 });
}, 30_000);
afterAll(async () => {
  await db?.close();
  await database?.drop();
});

const NOW = new Date();
const daysOf = async (jobId: string) => {
  const expiry = (await expiries(db.prisma, NOW)).find((one) => one.jobId === jobId);
  return expiry && (NOW.getTime() - expiry.endedBefore.getTime()) / DAY_MS;
};

describe("the retention of a job", () => {
  it.each([
    { own: 1, schedule: null, days: 1 },
    { own: null, schedule: 2, days: 2 },
    { own: 3, schedule: 2, days: 3 },
    { own: 1, schedule: 2, days: 1 },
    { own: null, schedule: null, days: undefined },
    { own: 5, schedule: null, days: undefined },
    { own: 100_000_000, schedule: null, days: undefined },
  ])(
    "of $own days, in a schedule of $schedule days, expires runs older than $days days",
    async (retention) => {
      const { own, schedule, days } = retention;
      const inMs = (count: number | null) => count && count * DAY_MS;
      const job = await saveJob(db.prisma, { own: inMs(own), schedule: inMs(schedule) });
      await saveRun(db.prisma, job, { endedDaysAgo: 4 });
      expect(await daysOf(job.id)).toBe(days);
    },
  );

  it("is that of the job's current revision, not of the run's, and that of the last one after a deletion", async () => {
    const job = await saveJob(db.prisma, { own: 9 * DAY_MS });
    await saveRun(db.prisma, job, { endedDaysAgo: 4 });
    expect(await daysOf(job.id)).toBeUndefined();
    await saveRevision(db.prisma, { ...job, revisionId: randomUUID() }, 2, BigInt(2 * DAY_MS));
    expect(await daysOf(job.id)).toBe(2);
    await db.prisma.job.update({ where: { id: job.id }, data: { deletedAt: NOW } });
    expect(await daysOf(job.id)).toBe(2);
  });

  it("counts from the end of a run, so that an active run never expires", async () => {
    const job = await saveJob(db.prisma, { own: DAY_MS });
    await saveRun(db.prisma, job, { endedDaysAgo: null });
    await db.prisma.run.updateMany({ where: { jobId: job.id }, data: { triggeredAt: new Date(0) } });
    await saveRun(db.prisma, job, { endedDaysAgo: 0.9 });
    expect(await daysOf(job.id)).toBeUndefined();
  });
});

describe("the pages of expired runs", () => {
  it("are sorted by the end of the runs and skip none, also among equal ends", async () => {
    const job = await saveJob(db.prisma, { own: DAY_MS });
    const ends = [9, 8, 8, 8, 7, 0.5];
    for (const endedDaysAgo of ends) await saveRun(db.prisma, job, { endedDaysAgo });
    const daysAgo = (days: number) => new Date(NOW.getTime() - days * DAY_MS);
    const middle = { jobId: job.id, finishedAt: { gt: daysAgo(8.5), lt: daysAgo(7.5) } };
    await db.prisma.run.updateMany({ where: middle, data: { finishedAt: daysAgo(8) } });
    const expiry = { jobId: job.id, endedBefore: daysAgo(1) };
    const [all, first] = [
      await expiredRuns(db.prisma, [expiry], 9),
      await expiredRuns(db.prisma, [expiry], 2),
    ];
    expect(all).toHaveLength(5);
    expect(all.map((run) => run.finishedAt)).toEqual(
      all.map((run) => run.finishedAt).toSorted((a, b) => +a - +b),
    );
    const second = await expiredRuns(db.prisma, [{ ...expiry, after: first.at(-1) }], 2);
    const third = await expiredRuns(db.prisma, [{ ...expiry, after: second.at(-1) }], 2);
    expect([...first, ...second, ...third]).toEqual(all);
  });
});

describe("the deletion of runs", () => {
  it("deletes all that belongs to them, and clears references to them", async () => {
    const job = await saveJob(db.prisma, {});
    const parent = await saveRun(db.prisma, job, { endedDaysAgo: 5 });
    const run = await saveRun(db.prisma, job, { endedDaysAgo: 4, parent });
    const again = await saveRun(db.prisma, job, { endedDaysAgo: 3 });
    await db.prisma.run.update({ where: { id: again.id }, data: { rerunOfId: run.id } });
    const delivery = await saveDelivery(db.prisma, run, "delivered");
    expect(await deleteRuns(db.prisma, [run.id])).toBe(1);
    expect(await db.prisma.attempt.count({ where: { runId: run.id } })).toBe(0);
    expect(await db.prisma.attemptLog.count({ where: { attempt: { runId: run.id } } })).toBe(0);
    expect(await db.prisma.runEvent.count({ where: { runId: run.id } })).toBe(0);
    expect(await db.prisma.delivery.count({ where: { id: delivery } })).toBe(0);
    expect(await db.prisma.deliveryTry.count({ where: { deliveryId: delivery } })).toBe(0);
    expect(
      await db.prisma.run.findMany({ where: { jobId: job.id }, orderBy: { finishedAt: "asc" } }),
    ).toMatchObject([{ id: parent.id }, { id: again.id, rerunOfId: null }]);
  });

  it("keeps a run that a child run, a pending delivery or an idempotency key needs", async () => {
    const job = await saveJob(db.prisma, {});
    const [parent, sending, keyed] = [
      await saveRun(db.prisma, job, { endedDaysAgo: 4 }),
      await saveRun(db.prisma, job, { endedDaysAgo: 4 }),
      await saveRun(db.prisma, job, { endedDaysAgo: 4 }),
    ];
    await saveRun(db.prisma, job, { endedDaysAgo: 3, parent });
    await saveDelivery(db.prisma, sending, "pending");
    await saveKey(db.prisma, keyed, 0);
    for (const { id } of [parent, sending, keyed]) expect(await deleteRuns(db.prisma, [id])).toBe(0);
    await db.prisma.delivery.updateMany({ where: { eventId: sending.eventId }, data: { state: "failed" } });
    expect(await deleteRuns(db.prisma, [parent.id, sending.id, keyed.id])).toBe(1);
  });
});

describe("with 20,000 runs", () => {
  const TABLES = ["run", "run_event", "delivery", "attempt"];

  /** Returns the tables that `work` reads by sequential scans, without an index. */
  async function readInSequence(work: (tx: Tx) => Promise<unknown>): Promise<string[]> {
    // The session's own counts, not yet flushed. They may contain earlier work of the session.
    const read = async (tx: Tx) => tx.$queryRaw<{ table: string; rows: bigint }[]>`
      SELECT relname AS table, seq_tup_read AS rows FROM pg_stat_xact_user_tables
      WHERE relname = ANY(${TABLES}) ORDER BY relname`;
    return db.transaction(async (tx) => {
      const before = await read(tx);
      await work(tx);
      const after = await read(tx);
      return after.flatMap(({ table, rows }, at) => (rows > (before[at]?.rows ?? 0n) ? [table] : []));
    });
  }

  it("expired runs are found and deleted by indexes alone", async () => {
    const job = await saveJob(db.prisma, { own: 13 * DAY_MS });
    await db.prisma.$executeRaw`
      INSERT INTO run (id, job_id, revision_id, state, trigger, triggered_by, triggered_at, finished_at)
      SELECT gen_random_uuid(), ${job.id}::uuid, ${job.revisionId}::uuid, 'succeeded', 'api', 'api', at, at
      FROM (SELECT now() - n * interval '1 minute' AS at FROM generate_series(1, 20000) n) runs`;
    await db.prisma.$executeRaw`
      INSERT INTO attempt (id, run_id, number, worker, started_at)
      SELECT gen_random_uuid(), id, 0, 'busy', now() FROM run WHERE job_id = ${job.id}::uuid`;
    await db.prisma.$executeRaw`
      INSERT INTO run_event (id, run_id, attempt_id, attempt, event, body, created_at)
      SELECT gen_random_uuid(), run_id, id, 0, 'on_success', '{}', now() FROM attempt WHERE worker = 'busy'`;
    await db.prisma.$executeRaw`
      INSERT INTO delivery (id, event_id, job_id, action, url, state, created_at)
      SELECT gen_random_uuid(), e.id, r.job_id, 'notify_webhook', 'https://example.org/', 'delivered', now()
      FROM run_event e JOIN run r ON r.id = e.run_id WHERE r.job_id = ${job.id}::uuid`;
    await db.prisma.$executeRawUnsafe("ANALYZE");
    const expiry = { jobId: job.id, endedBefore: new Date(NOW.getTime() - 13 * DAY_MS) };
    const page = await expiredRuns(db.prisma, [expiry], 500);
    expect(page).toHaveLength(500);
    // Few enough that the planner does not prefer a sequential scan of such a small table.
    const ids = page.slice(0, 50).map((run) => run.id);
    expect(await readInSequence((tx) => expiries(tx, NOW))).toEqual([]);
    expect(await readInSequence((tx) => expiredRuns(tx, [expiry], 500))).toEqual([]);
    expect(await readInSequence((tx) => expiredRuns(tx, [{ ...expiry, after: page.at(-1) }], 500))).toEqual(
      [],
    );
    expect(await readInSequence((tx) => deleteRuns(tx, ids))).toEqual([]);
    // The check itself works: a query without an index is reported.
    expect(await readInSequence((tx) => tx.$queryRaw`SELECT count(env) FROM run`)).toEqual(["run"]);
  }, 30_000);
});
