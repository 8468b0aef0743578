/** Measures how two workers share the runs of one slot. */
import { setTimeout as delay } from "node:timers/promises";
import type { Bench, Figures } from "./benchmark.ts";
import { removeRuns, retireJobs, saveJobs } from "./many-jobs.ts";
import { type BenchDatabase, readRow } from "./postgres.ts";
import { openService } from "./service.ts";

const PATIENCE_MS = 60_000;

/** Lets two workers share the runs of a slot. */
export async function spreadOverWorkers(bench: Bench, database: BenchDatabase, count: number): Promise<void> {
  for (let n = 0; n < 2; n++) await openService(bench, database, { ROLES: "worker" });
  const side = {
    name: `${count.toLocaleString("en")} jobs, two workers`,
    measure: () => burstOfCommands(bench, database, count),
  };
  bench.report("Commands of one slot, after the slot", await bench.takeTurns([side], { warmUp: false }));
}

async function burstOfCommands(bench: Bench, database: BenchDatabase, count: number): Promise<Figures> {
  const { session } = database;
  await retireJobs(session);
  // The only slot of the hour, so that no other slot interferes; time to save and read the jobs.
  const slot = new Date((Math.ceil(Date.now() / 1_000) + 3 + Math.ceil(count / 400)) * 1_000);
  const cron = `${slot.getSeconds()} ${slot.getMinutes()} * * * *`;
  await saveJobs(session, `once-${slot.getTime()}`, Array(count).fill(cron));
  await untilCount(bench, database, count, slot, "state = 'succeeded'");
  const seen = await readRow<{ started: number; ended: number; least: number }>(
    session,
    `SELECT (1000 * extract(epoch FROM max(a.started_at) - $1))::float8 AS started,
      (1000 * extract(epoch FROM max(a.finished_at) - $1))::float8 AS ended,
      (SELECT min(runs) FROM (SELECT count(*) AS runs FROM attempt GROUP BY worker))::float8 AS least
    FROM attempt a JOIN run ON run.id = a.run_id WHERE run.scheduled_for = $1`,
    [slot],
  );
  await removeRuns(session);
  return {
    "all begun (ms)": seen.started,
    "all ended (ms)": seen.ended,
    "runs of the least busy worker": seen.least,
  };
}

/** Waits until the slot has so many runs that meet the condition. Rejects after a minute. */
export async function untilCount(
  bench: Bench,
  { session }: BenchDatabase,
  wanted: number,
  slot: Date,
  condition: string,
): Promise<void> {
  const query = `SELECT count(*)::int FROM run WHERE scheduled_for = $1 AND ${condition}`;
  const deadline = slot.getTime() + PATIENCE_MS;
  for (let look = 1; ; look++) {
    const { count } = await readRow<{ count: number }>(session, query, [slot]);
    if (count === wanted) return;
    if (Date.now() > deadline) throw new Error(`${count} of ${wanted} runs within ${PATIENCE_MS} ms`);
    if (look % 50 === 0) bench.progress(`${count} of ${wanted} runs`);
    await delay(100);
  }
}
