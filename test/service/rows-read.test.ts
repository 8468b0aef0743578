/** How many rows the hot path reads: as many for a long history as for a short one. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Infra } from "../../src/infra.ts";
import type { SqlTx } from "../../src/postgres/client.ts";
import { attemptQueue } from "../../src/queue/messages.ts";
import { settleAttempt } from "../../src/runs/settle.ts";
import { claimAttempts } from "../../src/runs/start.ts";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, type TestInfra, testInfra } from "../support/test-infra.ts";

const SHORT = 10;
const LONG = 400;
/** Runs in one transaction of each verb. */
const BATCH = 5;

let infra: TestInfra;
beforeAll(async () => {
  infra = await testInfra();
  await putJob(infra, ADMINISTRATOR, jobDefinition());
  // Otherwise the statistics could change at any time. A VACUUM without an ANALYZE leaves some that fit nothing.
  for (const table of ["run", "attempt", "pgboss.job_common"]) {
    await infra.db.prisma.$executeRawUnsafe(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
  }
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());

it("does not read ended runs, attempts and messages", async () => {
  // The first runs make Postgres plan the statements, for tables that are nearly empty.
  await runMany(infra, SHORT);
  await runMany(infra, LONG);
  // A connection that opens later plans with these statistics.
  await infra.db.prisma.$executeRawUnsafe("ANALYZE");
  const read = await rowsRead();
  expect([...read.keys()]).toEqual(expect.arrayContaining(["run", "attempt", "job_common"]));
  expect([...read].filter(([, rows]) => rows > LONG / 4)).toEqual([]);
});

/** Triggers, starts and settles runs in batches. */
async function runMany(using: Infra, count: number): Promise<void> {
  for (let made = 0; made < count; made += BATCH) {
    await Promise.all(Array.from({ length: BATCH }, () => triggerRun(using, ADMINISTRATOR, { job: "job" })));
    const queueName = attemptQueue("default");
    const started = await claimAttempts(using, { queueName, count: BATCH, worker: "worker" });
    expect(started).toHaveLength(BATCH);
    const result = { outcome: { state: "succeeded", status: 0 } } as const;
    await Promise.all(started.map(({ message }) => settleAttempt(using, message, result, infra)));
  }
}

/** The rows that the next batch fetches from each table, by index or not. */
async function rowsRead(): Promise<Map<string, number>> {
  const total = new Map<string, number>();
  const add = async (tx: SqlTx, sign: 1 | -1) => {
    // The counts of a session, also of its earlier transactions, which it has not reported yet.
    const tables = await tx.$queryRaw<{ name: string; rows: number }[]>`
      SELECT relname AS name, (coalesce(idx_tup_fetch, 0) + seq_tup_read)::int AS rows FROM pg_stat_xact_user_tables`;
    for (const { name, rows } of tables) total.set(name, (total.get(name) ?? 0) + sign * rows);
  };
  const sqlTransaction: Infra["db"]["sqlTransaction"] = (work) =>
    infra.db.sqlTransaction(async (tx) => {
      await add(tx, -1);
      // The counts belong to the transaction, so it must not be committed before they are read.
      const result = await work(tx, () => undefined);
      await add(tx, 1);
      return result;
    });
  await runMany({ ...infra, db: { ...infra.db, sqlTransaction } }, BATCH);
  return total;
}
