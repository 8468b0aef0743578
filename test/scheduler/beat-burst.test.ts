/** Tests of a thousand jobs that are due at the same second: they cost a few statements and get one run each. */
import pg from "pg";
import pino from "pino";
import { expect, it, vi } from "vitest";
import { differentCrons, saveJobs } from "../../bench/many-jobs.ts";
import { createBeat } from "../../src/scheduler/beat.ts";
import { readClock } from "../../src/scheduler/progress.ts";
import { testInfra, UTC } from "../support/test-infra.ts";

const JOBS = 1_000;
const SILENT = pino({ level: "silent" });
const BEFORE = new Date("2040-01-01T11:59:59.500Z");
const AFTER = new Date("2040-01-01T12:00:00.001Z");

it("creates the runs of a thousand jobs in two pools with a few statements", {
  timeout: 30_000,
}, async () => {
  await using infra = await testInfra();
  await infra.queue.openPools(["gpu"]);
  await saveBurst(infra.connectionString);
  let now = BEFORE;
  const beat = () =>
    createBeat(infra, {
      ...UTC,
      log: SILENT,
      clock: async () => ({ ...(await readClock(infra.db.prisma)), now }),
    });
  const [one, two] = [beat(), beat()];
  await Promise.all([one(), two()]);
  now = AFTER;

  const statements = await statementsOf(one);
  const count = (part: string) => statements.filter((text) => text.includes(part)).length;
  expect(statements.length).toBeLessThanOrEqual(18);
  const counts = {
    runs: count("INSERT INTO run "),
    messages: count("INSERT INTO pgboss."),
    signals: count("pg_notify"),
  };
  expect(counts).toEqual({ runs: 1, messages: 2, signals: 1 });
  // Another scheduler finds the same slots due.
  await two();
  await expectOneRunEach(infra);
});

it("creates one run per job when two schedulers beat at the same time", { timeout: 30_000 }, async () => {
  await using infra = await testInfra();
  await infra.queue.openPools(["gpu"]);
  await saveBurst(infra.connectionString);
  let now = BEFORE;
  const beats = [0, 1].map(() =>
    createBeat(infra, {
      ...UTC,
      log: SILENT,
      clock: async () => ({ ...(await readClock(infra.db.prisma)), now }),
    }),
  );
  await Promise.all(beats.map((beat) => beat()));
  now = AFTER;
  await Promise.all(beats.map((beat) => beat()));
  await expectOneRunEach(infra);
});

async function saveBurst(connectionString: string): Promise<void> {
  const database = new pg.Client({ connectionString });
  await database.connect();
  await saveJobs(database, "burst", differentCrons(JOBS, "0"));
  await database.query(
    "UPDATE job_revision SET pool = 'gpu' WHERE job_id < '80000000-0000-0000-0000-000000000000'",
  );
  await database.end();
}

/** The statements that Prisma sends during `work`. pg-boss' own maintenance sends plain strings, which do not count. */
async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
  const spy = vi.spyOn(pg.Client.prototype, "query");
  try {
    await work();
    return spy.mock.calls.flatMap(([query]: unknown[]) =>
      typeof query === "object" && query !== null && "text" in query ? [String(query.text)] : [],
    );
  } finally {
    spy.mockRestore();
  }
}

async function expectOneRunEach({ db }: Awaited<ReturnType<typeof testInfra>>): Promise<void> {
  const [rows] = await db.prisma.$queryRaw<object[]>`
    SELECT count(*)::int AS runs, count(DISTINCT run.job_id)::int AS jobs, count(DISTINCT message.id)::int AS messages,
      count(DISTINCT run.scheduled_for)::int AS slots
    FROM run LEFT JOIN pgboss.job AS message ON message.id = run.message_id AND message.name = 'attempt.' ||
      (SELECT pool FROM job_revision r WHERE r.id = run.revision_id)`;
  expect(rows).toEqual({ runs: JOBS, jobs: JOBS, messages: JOBS, slots: 1 });
  const sent = await db.prisma
    .$queryRaw`SELECT count(*)::int AS messages FROM pgboss.job WHERE starts_with(name, 'attempt.')`;
  expect(sent).toEqual([{ messages: JOBS }]);
}
