/** Creates many jobs by SQL, each with another cron expression: all due in one second, or none for months. */
import type pg from "pg";

const MINUTES = 60;
const HOURS = 24;

/**
 * Expressions that name the same slots: each minute at these seconds. No two are the same text, so that nothing can be
 * computed once for several of them; at most 17,280.
 */
export function differentCrons(count: number, seconds: string): string[] {
  return Array.from({ length: count }, (_, n) => {
    const [minute, hour] = [n % MINUTES, Math.floor(n / MINUTES) % HOURS];
    const month = 1 + Math.floor(n / MINUTES / HOURS);
    return `${seconds} 0-59,${minute} 0-23,${hour} * 1-12,${month} *`;
  });
}

/** Expressions that are due once a year, half a year from `now`, spread over a month: nothing is due while one measures. */
export function distantCrons(count: number, now: Date): string[] {
  const month = ((now.getUTCMonth() + 6) % 12) + 1;
  return Array.from({ length: count }, (_, n) => {
    const [minute, hour] = [n % MINUTES, Math.floor(n / MINUTES) % HOURS];
    const day = 1 + (Math.floor(n / MINUTES / HOURS) % 28);
    return `${minute} ${hour} ${day} ${month} *`;
  });
}

/** Inserts a job for each expression, in a schedule of that name. */
export async function saveJobs(
  database: pg.Client,
  schedule: string,
  crons: readonly string[],
): Promise<void> {
  await database.query(
    `WITH s AS (INSERT INTO schedule (name, tz_location) VALUES ($1, 'Europe/Brussels') RETURNING id),
    asked AS (SELECT gen_random_uuid() AS job, gen_random_uuid() AS revision, cron, n
      FROM unnest($2::text[]) WITH ORDINALITY AS cron (cron, n)),
    j AS (INSERT INTO job (id, schedule_id, name) SELECT job, s.id, $1 || '-' || n FROM asked, s RETURNING id)
    INSERT INTO job_revision (id, job_id, number, shell, command, cron, retry_limit, retry_delay_ms, retry_backoff,
      retry_jitter, retry_exit_codes, enabled)
    SELECT revision, j.id, 1, false, '{true}', ARRAY[cron], 0, 0, 'constant', 0, '{}', true
    FROM asked JOIN j ON j.id = asked.job`,
    [schedule, crons],
  );
  await database.query(
    "UPDATE job SET current_revision_id = r.id FROM job_revision r WHERE r.job_id = job.id AND current_revision_id IS NULL",
  );
  await tellSchedulers(database);
}

/** Marks all jobs as deleted. Their rows stay: a scheduler may be making runs of them at this moment. */
export async function retireJobs(database: pg.Client): Promise<void> {
  await database.query("UPDATE job SET deleted_at = now() WHERE deleted_at IS NULL");
  await tellSchedulers(database);
}

/** Removes all runs and their messages: a waiting run would make the next slot of its job `skipped`. */
export async function removeRuns(database: pg.Client): Promise<void> {
  await database.query("TRUNCATE run CASCADE");
  await database.query("DELETE FROM pgboss.job");
}

async function tellSchedulers(database: pg.Client): Promise<void> {
  await database.query(
    "INSERT INTO definition_version (version) VALUES (1) ON CONFLICT (id) DO UPDATE SET version = definition_version.version + 1",
  );
  await database.query("ANALYZE");
}
