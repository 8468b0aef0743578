/** Tests of lists of runs in a long history: no filter reads the whole of it, and pages miss nothing. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/postgres/client.ts";
import { Prisma } from "../../src/postgres/generated/client.ts";
import { readRuns, runSearch } from "../../src/runs/list.ts";
import type { RunFilter } from "../../src/runs/run-filter.ts";
import { freshDatabase, type TestDatabase } from "../support/fresh-database.ts";
import { idAt, readOf } from "../support/query-plans.ts";

const RUNS = 30_000;
const LIMIT = 20;
/** As many rows as one search reads in one index, and the look for its end. */
const BOUND = 20_001;

let database: TestDatabase;
let db: ReturnType<typeof openDatabase>;

/**
 * One run a minute. The oldest 500 are of the job `old`, which alone has the label `team=old` and is alone in the
 * schedule `old`; 30 of them were missed, and 20 were triggered by `bob`. Of the others 2 % failed and 1 % were skipped.
 */
beforeAll(async () => {
  database = await freshDatabase();
  db = openDatabase(database.connectionString, { maxConnections: 2 });
  const { prisma } = db;
  await prisma.$executeRaw`INSERT INTO schedule (name) VALUES ('s'), ('old'), ('empty')`;
  await prisma.$executeRaw`
    INSERT INTO job (schedule_id, name) SELECT s.id, job.name
    FROM unnest(ARRAY['job0', 'job1', 'job2', 'old', 'never']) job (name)
    JOIN schedule s ON s.name = CASE job.name WHEN 'old' THEN 'old' ELSE 's' END`;
  await prisma.$executeRaw`
    INSERT INTO job_revision (job_id, number, shell, retry_limit, retry_delay_ms, retry_backoff, retry_jitter, enabled, labels)
    SELECT id, 1, TRUE, 0, 0, 'constant', 0, TRUE, jsonb_build_object('team', CASE name WHEN 'old' THEN 'old' ELSE 'new' END) FROM job`;
  await prisma.$executeRaw`
    INSERT INTO run (id, job_id, revision_id, state, trigger, triggered_by, triggered_at, status, finished_at, message_id)
    SELECT ${idAt(Prisma.sql`at`, Prisma.sql`n`)}, r.job_id, r.id, state::run_state,
      CASE WHEN n % 4000 = 5 THEN 'rerun' WHEN n % 2 = 0 THEN 'cron' ELSE 'api' END::trigger_type,
      CASE WHEN n <= 20 THEN 'bob' WHEN n % 2 = 0 THEN 'cron' ELSE 'api' END, at,
      CASE state WHEN 'failed' THEN CASE WHEN n < 500 THEN 42 ELSE 1 END WHEN 'succeeded' THEN 0 END,
      CASE WHEN state <> 'running' THEN at END, CASE WHEN state = 'running' THEN gen_random_uuid() END
    FROM (
      SELECT n, now() - (${RUNS}::int - n) * interval '1 minute' AS at, CASE WHEN n <= 30 THEN 'missed'
        WHEN n > ${RUNS}::int - 5 THEN 'running' WHEN n % 50 = 0 THEN 'failed' WHEN n % 100 = 1 THEN 'skipped' ELSE 'succeeded' END AS state
      FROM generate_series(1, ${RUNS}::int) n
    ) history JOIN job j ON j.name = CASE WHEN n <= 500 THEN 'old' ELSE 'job' || n % 3 END JOIN job_revision r ON r.job_id = j.id`;
  await prisma.$executeRawUnsafe("VACUUM ANALYZE");
}, 60_000);
afterAll(async () => {
  await db?.close();
  await database?.drop();
});

const page = { limit: LIMIT };
const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000);

describe("in a long history, a list of runs reads few rows by an index", () => {
  it.each<[string, RunFilter, index: string, atMost: number]>([
    ["without a filter", {}, "run_pkey", LIMIT],
    ["of a job", { jobs: ["job1"] }, "run_job_id_id_idx", LIMIT],
    ["of several jobs", { jobs: ["job0", "job1", "old"] }, "run_job_id_id_idx", 3 * LIMIT],
    ["of a job that ran long ago", { jobs: ["old"] }, "run_job_id_id_idx", LIMIT],
    ["of a job that never ran", { jobs: ["never"] }, "run_job_id_id_idx", 0],
    ["of a common state", { states: ["succeeded"] }, "run_pkey", 2 * LIMIT],
    ["of a state", { states: ["failed"] }, "run_ended_as", LIMIT],
    ["of several states", { states: ["failed", "skipped"] }, "run_ended_as", 2 * LIMIT],
    ["of a state of long ago", { states: ["missed"] }, "run_ended_as", LIMIT],
    ["of a state that no run has", { states: ["cancelled"] }, "run_ended_as", 0],
    ["that are active", { states: ["queued", "running"] }, "run_active", 5],
    ["of status 0", { statuses: [0] }, "run_pkey", 2 * LIMIT],
    ["of a status", { statuses: [1] }, "run_status", LIMIT],
    ["of a status of long ago", { statuses: [42] }, "run_status", LIMIT],
    ["of a status that no run has", { statuses: [77] }, "run_status", 0],
    ["of a common trigger", { triggers: ["cron"] }, "run_pkey", 3 * LIMIT],
    ["of a trigger", { triggers: ["rerun"] }, "run_trigger", LIMIT],
    ["of a trigger that no run has", { triggers: ["catch_up"] }, "run_trigger", 0],
    ["of a common caller", { triggeredBy: ["api"] }, "run_pkey", 3 * LIMIT],
    ["of a caller of long ago", { triggeredBy: ["bob"] }, "run_triggered_by", LIMIT],
    ["of a caller that no run has", { triggeredBy: ["eve"] }, "run_triggered_by", 0],
    ["of a schedule", { schedules: ["s"] }, "run_job_id_id_idx", 4 * LIMIT],
    ["of a schedule that ran long ago", { schedules: ["old"] }, "run_job_id_id_idx", LIMIT],
    ["of a schedule without jobs", { schedules: ["empty"] }, "", 0],
    ["with a label", { labels: [["team", "new"]] }, "run_job_id_id_idx", 4 * LIMIT],
    ["with a label of long ago", { labels: [["team", "old"]] }, "run_job_id_id_idx", LIMIT],
    ["with a label that no job has", { labels: [["team", "none"]] }, "", 0],
    ["since a time", { since: ago(300) }, "run_pkey", 400],
    ["until a time", { until: ago(9_000) }, "run_pkey", 100],
    ["before all", { until: ago(2 * RUNS) }, "run_pkey", 0],
    ["of a job and a state", { jobs: ["job1"], states: ["missed"] }, "run_job_ended_as", 0],
    ["of a job and a status", { jobs: ["job1"], statuses: [1] }, "run_active run_job_ended_as", 250],
    ["of a state since a time", { states: ["skipped"], since: ago(300) }, "run_ended_as", LIMIT],
    ["of a state and another trigger", { states: ["failed"], triggers: ["rerun"] }, "run_ended_as", 1_250],
    ["of a caller since a time", { triggeredBy: ["bob"], since: ago(300) }, "run_triggered_by", 0],
  ])("%s", async (_, filter, index, atMost) => {
    const { search, paths } = await runSearch(db.prisma, filter, page);
    const { indexes, inSequence, rows } = await readOf(db.prisma, "run", search, paths.slice(0, 1));
    expect({ index: indexes.join(" "), inSequence }).toEqual({ index, inSequence: false });
    expect(rows).toBeLessThanOrEqual(atMost);
  });

  it.each<[string, RunFilter]>([
    ["of contradicting common values", { triggers: ["cron"], triggeredBy: ["api"] }],
    [
      "of a job and common values that are rare in it",
      { jobs: ["job0", "job1"], triggeredBy: ["api", "eve"], triggers: ["cron"] },
    ],
  ])("%s, up to a bound", async (_, filter) => {
    const { search, paths } = await runSearch(db.prisma, filter, page);
    const { inSequence, rows } = await readOf(db.prisma, "run", search, paths);
    expect(inSequence).toBe(false);
    expect(rows).toBeLessThanOrEqual(2 * BOUND);
  });

  it("of a status that no run of the state can have, without a look", async () => {
    expect((await runSearch(db.prisma, { states: ["succeeded"], statuses: [1] }, page)).paths).toEqual([[]]);
  });
});

describe("pages of a list of runs", () => {
  it.each<[string, RunFilter]>([
    ["of a caller", { triggeredBy: ["bob"] }],
    ["of rare matches of a common value", { triggeredBy: ["api", "bob"], triggers: ["rerun"] }],
    [
      "of matches at the end of a history without others",
      { states: ["succeeded", "missed"], triggers: ["api", "rerun"], statuses: [0], until: ago(15_000) },
    ],
    ["of many labels and states", { labels: [["team", "old"]], states: ["missed", "failed"] }],
  ])("%s contain each match once, in order", async (_, filter) => {
    const all = await readAll(filter, { limit: 7 });
    const { search } = await runSearch(db.prisma, filter, page);
    const expected = await db.prisma.$queryRaw<{ id: string }[]>`
      SELECT id FROM run WHERE ${Prisma.join([...search.conditions], " AND ")} ORDER BY id DESC`;
    expect(all.ids).toEqual(expected.map(({ id }) => id));
  });

  it("of a search that stops early are empty, and lead to the matches", async () => {
    // Only the oldest runs match, and no index has them.
    await db.prisma.$executeRaw`UPDATE run SET reason = 'x', triggered_by = 'api', trigger = 'cron'
      WHERE id IN (SELECT id FROM run WHERE status = 0 ORDER BY id LIMIT 3)`;
    const { ids, pages } = await readAll({ triggers: ["cron"], triggeredBy: ["api"] }, { limit: 7 });
    expect(ids).toHaveLength(3);
    expect(pages).toBeGreaterThan(RUNS / BOUND);
  });
});

/** Reads all pages of a list. */
async function readAll(
  filter: RunFilter,
  { limit }: { limit: number },
): Promise<{ ids: string[]; pages: number }> {
  const ids: string[] = [];
  let beforeId: string | undefined;
  for (let pages = 1; ; pages++) {
    const { runs, stoppedAt } = await readRuns(db, filter, { beforeId, limit });
    ids.push(...runs.map(({ id }) => id));
    beforeId = runs.length === limit ? runs.at(-1)?.id : stoppedAt;
    if (beforeId === undefined) return { ids, pages };
  }
}
