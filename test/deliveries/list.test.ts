/** Tests of lists of deliveries in a long history: no filter reads the whole of it. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DeliveryFilter, deliverySearch, readDeliveries } from "../../src/deliveries/list.ts";
import { openDatabase } from "../../src/postgres/client.ts";
import { Prisma } from "../../src/postgres/generated/client.ts";
import { freshDatabase, type TestDatabase } from "../support/fresh-database.ts";
import { DAY_MS, saveJob, saveRun } from "../support/old-runs.ts";
import { idAt, readOf } from "../support/query-plans.ts";
import { ADMINISTRATOR } from "../support/test-infra.ts";

const DELIVERIES = 20_000;
const page = { limit: 20 };

let database: TestDatabase;
let db: ReturnType<typeof openDatabase>;
let runId: string;

/** One delivery a minute: the oldest 10 are of the job `old` and were blocked, 1 % failed, the newest 5 are pending. */
beforeAll(async () => {
  database = await freshDatabase();
  db = openDatabase(database.connectionString, { maxConnections: 2 });
  const job = await saveJob(db.prisma, {});
  const other = await saveJob(db.prisma, {});
  const run = await saveRun(db.prisma, job, { endedDaysAgo: 1 });
  const oldRun = await saveRun(db.prisma, other, { endedDaysAgo: 1 });
  runId = oldRun.id;
  await db.prisma.job.update({ where: { id: job.id }, data: { name: "busy" } });
  await db.prisma.job.update({ where: { id: other.id }, data: { name: "old" } });
  await db.prisma.job.create({
    data: {
      ...(await db.prisma.job.findFirstOrThrow()),
      id: randomUUID(),
      name: "never",
      currentRevisionId: null,
    },
  });
  // Each delivery has an event of its own.
  await db.prisma.$executeRaw`
    INSERT INTO run_event (id, run_id, attempt_id, attempt, event, body, created_at)
    SELECT ${idAt(Prisma.sql`now()`, Prisma.sql`n`)}, run_id, id, n, 'on_error', '{}', now()
    FROM generate_series(1, ${DELIVERIES}::int) n
    JOIN attempt ON run_id = CASE WHEN n <= 10 THEN ${oldRun.id} ELSE ${run.id} END::uuid`;
  await db.prisma.$executeRaw`
    INSERT INTO delivery (id, event_id, job_id, action, url, state, created_at)
    SELECT ${idAt(Prisma.sql`at`, Prisma.sql`n`)}, e.id, run.job_id, 'notify_webhook', 'https://example.org/' || n,
      CASE WHEN n <= 10 THEN 'blocked' WHEN n > ${DELIVERIES}::int - 5 THEN 'pending' WHEN n % 100 = 0 THEN 'failed'
        ELSE 'delivered' END::delivery_state, at
    FROM (
      SELECT n, now() - (${DELIVERIES}::int - n) * interval '1 minute' AS at FROM generate_series(1, ${DELIVERIES}::int) n
    ) history JOIN run_event e ON e.attempt = n AND e.event = 'on_error' JOIN run ON run.id = e.run_id`;
  await db.prisma.$executeRawUnsafe("VACUUM ANALYZE");
}, 60_000);
afterAll(async () => {
  await db?.close();
  await database?.drop();
});

describe("in a long history, a list of deliveries reads few rows by an index", () => {
  it.each<[string, () => DeliveryFilter, index: string, atMost: number]>([
    ["without a filter", () => ({}), "delivery_pkey", 20],
    ["that were delivered", () => ({ states: ["delivered"] }), "delivery_pkey", 30],
    ["of a state", () => ({ states: ["failed"] }), "delivery_state", 20],
    ["of a state of long ago", () => ({ states: ["blocked"] }), "delivery_state", 20],
    ["of several states", () => ({ states: ["failed", "pending"] }), "delivery_state", 30],
    ["of a job", () => ({ jobs: ["busy"] }), "delivery_job_id_id_idx", 20],
    ["of a job of long ago", () => ({ jobs: ["old"] }), "delivery_job_id_id_idx", 20],
    ["of a job that never had one", () => ({ jobs: ["never"] }), "delivery_job_id_id_idx", 0],
    ["of a run", () => ({ runId }), "delivery_target", 10],
    ["since a time", () => ({ since: new Date(Date.now() - 600_000) }), "delivery_pkey", 150],
    ["until a time", () => ({ until: new Date(Date.now() - 6 * DAY_MS) }), "delivery_pkey", 100],
    [
      "of a job and another state",
      () => ({ jobs: ["old"], states: ["failed"] }),
      "delivery_job_id_id_idx",
      20,
    ],
    [
      "of a job and a rare state",
      () => ({ jobs: ["busy"], states: ["blocked"] }),
      "delivery_job_id_id_idx",
      10_002,
    ],
  ])("%s", async (_, filter, index, atMost) => {
    const { search, path } = await deliverySearch(db.prisma, filter(), page);
    const { indexes, inSequence, rows } = await readOf(db.prisma, "delivery", search, [path]);
    expect({ index: indexes.join(" "), inSequence }).toEqual({ index, inSequence: false });
    expect(rows).toBeLessThanOrEqual(atMost);
  });

  it("of a run, newest first, with the last try", async () => {
    const { deliveries, stoppedAt } = await readDeliveries(db, ADMINISTRATOR, { runId }, page);
    expect(stoppedAt).toBeUndefined();
    expect(deliveries.map(({ url }) => url)).toEqual(
      Array.from({ length: 10 }, (_, index) => `https://example.org/${10 - index}`),
    );
    expect(deliveries[0]).toMatchObject({ history: [], event: { run: { id: runId } } });
  });
});
