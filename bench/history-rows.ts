/** Fills a database with a long history by SQL, in batches that can be continued after an interruption. */
import type pg from "pg";
import { readRow } from "./postgres.ts";

/** Seconds between two runs of the history. */
const EVERY_S = 3;
const BATCH = 25_000;
const JOBS = 200;

/** Values of filters that only runs from the beginning of the history have. */
export const RARE = {
  job: "job-rare",
  status: 77,
  triggeredBy: "bob",
  label: "team=rare",
  trigger: "catch_up",
};

/**
 * Brings the history to `size` runs that end now, one each 3 s, of 200 jobs in 4 schedules. All have an attempt; each
 * tenth has a delivery with a try, and each fiftieth was triggered by such a run. Calls `told` after each step.
 */
export async function fillHistory(
  session: pg.Client,
  size: number,
  told: (step: string) => void,
): Promise<void> {
  await session.query(
    `CREATE TABLE IF NOT EXISTS bench_history (began timestamptz NOT NULL, runs bigint NOT NULL)`,
  );
  await session.query(
    `INSERT INTO bench_history SELECT date_trunc('second', now()) - $1 * interval '1 second', 0
    WHERE NOT EXISTS (SELECT FROM bench_history)`,
    [size * EVERY_S],
  );
  const { runs } = await readRow<{ runs: string }>(session, "SELECT runs FROM bench_history");
  let count = Number(runs);
  if (count === 0) await saveDefinitions(session);
  while (count < size) {
    const until = Math.min(size, count + BATCH);
    await saveBatch(session, count, until);
    count = until;
    told(`${count.toLocaleString("en")} of ${size.toLocaleString("en")} runs`);
  }
  if (Number(runs) === size) return;
  for (const table of ["run", "attempt", "run_event", "delivery", "delivery_try", "job", "job_revision"]) {
    await session.query(`VACUUM ANALYZE ${table}`);
    told(`${table} is analysed`);
  }
}

async function saveDefinitions(session: pg.Client): Promise<void> {
  await session.query("BEGIN");
  await session.query("INSERT INTO schedule (name) SELECT 'schedule-' || n FROM generate_series(0, 3) n");
  await session.query(
    `INSERT INTO job (schedule_id, name) SELECT s.id, CASE WHEN n = ${JOBS} THEN '${RARE.job}' ELSE 'job-' || n END
    FROM generate_series(0, ${JOBS}) n JOIN schedule s ON s.name = 'schedule-' || n % 4`,
  );
  await session.query(
    `INSERT INTO job_revision (job_id, number, shell, command, cron, retry_limit, retry_delay_ms, retry_backoff,
      retry_jitter, retry_exit_codes, enabled, labels)
    SELECT id, 1, false, '{true}', '{}', 0, 0, 'constant', 0, '{}', true, jsonb_build_object('team',
      CASE WHEN name = '${RARE.job}' THEN 'rare' ELSE 'team-' || substr(name, 5)::int % 5 END) FROM job`,
  );
  await session.query(
    "UPDATE job SET current_revision_id = r.id FROM job_revision r WHERE r.job_id = job.id",
  );
  await session.query("COMMIT");
}

/** An id that sorts as uuidv7 does: the time in ms, then what tells rows of one time apart. */
const ID = (kind: string, n: string) =>
  `(lpad(to_hex((1000 * extract(epoch FROM began + ${n} * interval '${EVERY_S} seconds'))::bigint), 12, '0')
    || '7${kind}00' || '8000' || lpad(to_hex(${n}), 12, '0'))::uuid`;

/** The first hundred runs are the rare ones; later, 3 of 100 runs fail, 1 is skipped and 1 cancelled. */
const RUNS = `
  CREATE TEMP TABLE batch ON COMMIT DROP AS
  SELECT n, ${ID("1", "n")} AS id, ${ID("2", "n")} AS attempt_id, ${ID("3", "n")} AS event_id,
    CASE WHEN n % 50 = 5 AND n > 100 THEN ${ID("3", "(n - 5)")} END AS parent_event_id,
    began + n * interval '${EVERY_S} seconds' AS at,
    CASE WHEN n < 100 THEN '${RARE.job}' ELSE 'job-' || n % ${JOBS} END AS job,
    (CASE WHEN n < 100 THEN 'missed' WHEN n % 100 IN (31, 57, 83) THEN 'failed' WHEN n % 100 = 41 THEN 'skipped'
      WHEN n % 100 = 43 THEN 'cancelled' ELSE 'succeeded' END)::run_state AS state,
    (CASE WHEN n < 100 THEN '${RARE.trigger}' WHEN n % 50 = 5 THEN 'job' WHEN n % 10 = 7 THEN 'api'
      WHEN n % 1000 = 3 THEN 'rerun' ELSE 'cron' END)::trigger_type AS trigger
  FROM bench_history, generate_series($1::bigint, $2::bigint - 1) n`;
const INSERTS = [
  `INSERT INTO run (id, job_id, revision_id, state, trigger, triggered_by, triggered_at, scheduled_for, status,
    started_at, finished_at, parent_event_id)
  SELECT batch.id, job.id, current_revision_id, state, trigger,
    CASE WHEN n < 100 THEN '${RARE.triggeredBy}' WHEN trigger = 'api' AND n % 20 = 7 THEN 'ann'
      WHEN trigger = 'job' THEN 'job[job-' || (n - 5) % ${JOBS} || ']' ELSE trigger::text END,
    at, CASE WHEN trigger = 'cron' THEN at END,
    CASE WHEN n < 100 THEN ${RARE.status} WHEN state = 'failed' THEN 1 + n % 2 WHEN state = 'cancelled' THEN -1
      WHEN state = 'succeeded' THEN 0 END,
    CASE WHEN state <> 'skipped' THEN at + interval '8 ms' END, at + interval '40 ms', parent_event_id
  FROM batch JOIN job ON job.name = batch.job`,
  `INSERT INTO attempt (id, run_id, number, state, status, worker, started_at, finished_at)
  SELECT attempt_id, id, 0, CASE WHEN state IN ('succeeded', 'failed', 'cancelled') THEN state::text ELSE 'lost' END::attempt_state,
    CASE WHEN state = 'succeeded' THEN 0 ELSE 1 END, 'worker', at + interval '8 ms', at + interval '40 ms'
  FROM batch WHERE state <> 'skipped'`,
  `INSERT INTO attempt_log (attempt_id, position, bytes) SELECT attempt_id, 0, 'ding\n'::bytea FROM batch WHERE n % 10 = 0`,
  `INSERT INTO run_event (id, run_id, attempt_id, attempt, event, body, created_at)
  SELECT event_id, id, attempt_id, 0, 'on_success', '{"status":0,"log":"ding\\n"}', at + interval '40 ms'
  FROM batch WHERE n % 10 = 0`,
  `INSERT INTO delivery (id, event_id, job_id, action, url, state, tries, created_at, finished_at)
  SELECT ${ID("4", "n")}, event_id, job.id, 'notify_webhook', 'https://example.org/hook',
    (CASE WHEN n < 100 THEN 'blocked' WHEN n % 200 = 0 THEN 'failed' ELSE 'delivered' END)::delivery_state, 1,
    at + interval '40 ms', at + interval '60 ms'
  FROM bench_history, batch JOIN job ON job.name = batch.job WHERE n % 10 = 0`,
  `INSERT INTO delivery_try (delivery_id, number, started_at, duration_ms, status)
  SELECT ${ID("4", "n")}, 1, at + interval '45 ms', 15, 200 FROM batch, bench_history WHERE n % 10 = 0`,
  "UPDATE bench_history SET runs = $2 + 0 * $1::bigint",
];

async function saveBatch(session: pg.Client, from: number, until: number): Promise<void> {
  await session.query("BEGIN");
  // The rows refer to each other only within this history, so the checks would only take time.
  // Only a superuser may leave them out.
  await session.query(`DO $$ BEGIN SET LOCAL session_replication_role = replica;
    EXCEPTION WHEN insufficient_privilege THEN NULL; END $$`);
  await session.query(RUNS, [from, until]);
  for (const insert of INSERTS.slice(0, -1)) await session.query(insert);
  await session.query(INSERTS.at(-1) ?? "", [from, until]);
  await session.query("COMMIT");
}
