/** Tests of the query plans of run lists: the common ones read an index from its newest end. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { openDatabase } from "../../src/postgres/client.ts";
import { Prisma } from "../../src/postgres/generated/client.ts";
import { type RunFilter, runIds } from "../../src/runs/list.ts";
import { freshDatabase, type TestDatabase } from "../support/fresh-database.ts";

interface Plan {
  "Node Type": string;
  "Index Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  Plans?: Plan[];
}

const JOBS = 4;
const RUNS = 20_000;
const LIMIT = 20;

let database: TestDatabase;
let db: ReturnType<typeof openDatabase>;
let jobIds: string[];

beforeAll(async () => {
  database = await freshDatabase();
  db = openDatabase(database.connectionString, { maxConnections: 2 });
  const { prisma } = db;
  await prisma.$executeRaw`INSERT INTO schedule (name) VALUES ('s')`;
  await prisma.$executeRaw`
    INSERT INTO job (schedule_id, name) SELECT s.id, 'job' || n FROM schedule s, generate_series(1, ${JOBS}) n`;
  await prisma.$executeRaw`
    INSERT INTO job_revision (job_id, number, shell, retry_limit, retry_delay_ms, retry_backoff, retry_jitter, enabled)
    SELECT id, 1, TRUE, 0, 0, 'constant', 0, TRUE FROM job`;
  // The ids are UUIDv7, which begin with the present time.
  const now = Date.now().toString(16).padStart(12, "0");
  await prisma.$executeRaw`
    INSERT INTO run (id, job_id, revision_id, state, trigger, triggered_by, triggered_at)
    SELECT (${`${now.slice(0, 8)}-${now.slice(8)}-7000-8000-`} || lpad(to_hex(n), 12, '0'))::uuid, r.job_id, r.id,
      CASE WHEN n % 50 = 0 THEN 'failed' WHEN n % 51 = 0 THEN 'skipped' ELSE 'succeeded' END::run_state, 'api', 'api', now()
    FROM generate_series(1, ${RUNS}) n JOIN job_revision r ON r.job_id =
      (SELECT id FROM job WHERE name = 'job' || (1 + n % ${JOBS}))`;
  await prisma.$executeRaw`ANALYZE`;
  jobIds = (await prisma.job.findMany({ orderBy: { name: "asc" } })).map(({ id }) => id);
}, 60_000);
afterAll(async () => {
  await db?.close();
  await database?.drop();
});

/** Returns every node of the plan that Postgres used for the query of a page. */
async function planOf(filter: RunFilter, jobs?: string[]): Promise<Plan[]> {
  const query = runIds(filter, jobs, { limit: LIMIT });
  const [row] = await db.prisma.$queryRaw<{ "QUERY PLAN": [{ Plan: Plan }] }[]>(
    Prisma.sql`EXPLAIN (ANALYZE, FORMAT JSON) ${query}`,
  );
  const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];
  return row === undefined ? [] : nodes(row["QUERY PLAN"][0].Plan);
}

it.each<[string, RunFilter, number, string]>([
  ["all runs", {}, 0, "run_pkey"],
  ["the runs of a job", {}, 1, "run_job_id_id_idx"],
  ["the runs of several jobs", {}, 3, "run_job_id_id_idx"],
  ["the runs in a state", { states: ["failed"] }, 0, "run_state_id_idx"],
  ["the runs in several states", { states: ["failed", "skipped"] }, 0, "run_state_id_idx"],
])("reads %s from an index, newest first", async (_, filter, jobs, index) => {
  const nodes = await planOf(filter, jobs === 0 ? undefined : jobIds.slice(0, jobs));
  const scans = nodes.filter(
    (node) => node["Node Type"].includes("Scan") && node["Index Name"] !== undefined,
  );
  expect(scans.map((node) => node["Index Name"])).toEqual([index]);
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
  const read = scans.map((node) => node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0));
  expect(Math.max(...read)).toBeLessThanOrEqual(LIMIT);
});

it("reads no run outside a time range", async () => {
  const nodes = await planOf({ until: new Date(Date.now() - 7 * 86_400_000) });
  expect(Math.max(...nodes.map((node) => node["Rows Removed by Filter"] ?? 0))).toBe(0);
});
