/** Several schedulers on one database, killed and started again at random: every slot has exactly one run. */
import pg from "pg";
import type { ServiceProcess } from "../../test/support/process.ts";
import {
  type Campaign,
  createChecks,
  type Findings,
  randomFrom,
  startNode,
  until,
  type World,
} from "./campaign.ts";

/** 4 schedulers and 200 jobs for 30 s; with an odd seed nobody is killed. */
export const schedulers: Campaign = {
  title: "4 schedulers, 200 every-second jobs, 30 s; in every other round one is killed each 2 s",
  run: (world) =>
    runSchedulers(world, {
      schedulers: 4,
      jobs: 200,
      seconds: 30,
      killEveryMs: world.seed % 2 === 0 ? 2_000 : undefined,
    }),
};

interface Plan {
  schedulers: number;
  jobs: number;
  seconds: number;
  /** One is killed so long after the one before is up again, but never the first one; unset: none is. */
  killEveryMs: number | undefined;
}

/** What the database holds of the slots of all jobs, from the first to the last one. */
interface Seen {
  runs: number;
  slots: number;
  missed: number;
  /** Those for which a run of the job waited already: two slots that came in one beat. */
  skipped: number;
  first: Date;
  last: Date;
  /** How late the runs were made, in ms. */
  p50: number;
  max: number;
}

export async function runSchedulers(world: World, plan: Plan): Promise<Findings> {
  const checks = createChecks();
  await using stack = new AsyncDisposableStack();
  const names = Array.from({ length: plan.schedulers }, (_, n) => `scheduler-${n}`);
  const start = (name: string) => startNode(world, name, { ROLES: "scheduler" });
  const api = stack.use(await startNode(world, "api", { ROLES: "api" }));
  const nodes = new Map<string, ServiceProcess>();
  stack.defer(async () => {
    await Promise.all([...nodes.values()].map((node) => node.end("SIGKILL")));
  });
  for (const name of names) nodes.set(name, await start(name));
  const database = new pg.Client({ connectionString: world.connectionString });
  await database.connect();
  stack.defer(() => database.end());

  const jobs = Array.from({ length: plan.jobs }, (_, n) => [
    `tick-${n}`,
    { command: "true", cron: "@everysecond" },
  ]);
  const { status } = await api.client.call("PUT", "/schedules/ticks", { jobs: Object.fromEntries(jobs) });
  checks.that(status === 200, `the jobs were not saved: ${status}`);
  // A save takes its time, and the slots that come meanwhile are made at once when it is done.
  const savedAt = Date.now();
  await growOld(database);
  const over = new AbortController();
  const working = standInForWorkers(database, over.signal);
  const random = randomFrom(world.seed);
  let kills = 0;
  while (Date.now() < savedAt + plan.seconds * 1_000) {
    await pause(plan.killEveryMs ?? 100);
    if (plan.killEveryMs === undefined) continue;
    // The first one stays, so that somebody is always up.
    const name = names[1 + Math.floor(random() * (names.length - 1))] ?? "";
    await nodes.get(name)?.end("SIGKILL");
    nodes.set(name, await start(name));
    kills += 1;
  }
  over.abort();
  await working;
  const endedAt = Date.now();

  const seen = await look(database, savedAt);
  const expected = ((seen.last.getTime() - seen.first.getTime()) / 1_000 + 1) * plan.jobs;
  checks.that(seen.runs === expected, `${seen.runs} runs, but ${expected} slots have come`);
  checks.that(seen.slots === seen.runs, `${seen.runs} runs of ${seen.slots} slots`);
  checks.that(seen.missed === 0, `${seen.missed} slots were missed`);
  checks.that(endedAt - seen.last.getTime() < 10_000, `the last slot was ${seen.last.toISOString()}`);
  const figures = {
    "schedulers killed": kills,
    "slots, each with one run": seen.runs,
    "of them skipped, as one waited already": seen.skipped,
    "run made after its slot, p50 (ms)": seen.p50,
    "run made after its slot, max (ms)": seen.max,
  };
  return { broken: checks.broken, figures };
}

/** A scheduler that starts goes over the slots of jobs that were saved just now once more: here it shall not. */
async function growOld(database: pg.Client): Promise<void> {
  await until(
    "the first slot",
    20_000,
    async () => (await database.query("SELECT FROM run LIMIT 1")).rows[0],
  );
  await database.query(`
    UPDATE job_revision SET created_at = created_at - interval '1 hour';
    UPDATE job SET updated_at = updated_at - interval '1 hour';
    UPDATE schedule SET updated_at = updated_at - interval '1 hour'`);
}

/** Ends what waits, so that no slot is skipped because a run of its job waits already. */
async function standInForWorkers(database: pg.Client, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await database.query(
      "UPDATE run SET state = 'succeeded', status = 0, finished_at = now() WHERE state = 'queued'",
    );
    await pause(100);
  }
}

async function look(database: pg.Client, savedAt: number): Promise<Seen> {
  const { rows } = await database.query<Seen>(
    `
    SELECT count(*)::int AS runs, count(DISTINCT (job_id, scheduled_for))::int AS slots,
      (count(*) FILTER (WHERE state = 'missed'))::int AS missed,
      (count(*) FILTER (WHERE state = 'skipped' AND scheduled_for > $1))::int AS skipped,
      min(scheduled_for) AS first, max(scheduled_for) AS last,
      (percentile_cont(0.5) WITHIN GROUP (ORDER BY late) FILTER (WHERE scheduled_for > $1))::float8 AS p50,
      (max(late) FILTER (WHERE scheduled_for > $1))::float8 AS max
    FROM run, LATERAL (SELECT 1000 * extract(epoch FROM triggered_at - scheduled_for) AS late) AS lateness
    -- The slot that is being made just now has not all of its runs.
    WHERE scheduled_for < (SELECT slots_until FROM scheduler_progress)`,
    [new Date(savedAt)],
  );
  const [seen] = rows;
  if (seen === undefined) throw new Error("a count answers one row");
  return seen;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
