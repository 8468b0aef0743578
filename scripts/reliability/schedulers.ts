/** Kills and restarts several schedulers on one database at random: every slot must have exactly one run. */
import pg from "pg";
import type { ServiceProcess } from "../../test/support/service-process.ts";
import {
  type Campaign,
  createChecks,
  type Findings,
  randomFrom,
  startNode,
  until,
  type World,
} from "./campaign.ts";

/** Runs 4 schedulers with 200 jobs for 30 s. With an odd seed none is killed. */
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
  /** The pause between the restart of one scheduler and the kill of the next, in ms. Unset: none is killed. */
  killEveryMs: number | undefined;
}

/** The slots of all jobs as the database has them, from the first to the last one. */
interface Seen {
  runs: number;
  slots: number;
  missed: number;
  /** Slots that were skipped because a run of the job was already waiting: two slots in one beat. */
  skipped: number;
  first: Date;
  last: Date;
  /** How late the runs were created, in ms. */
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
  // Slots that become due during a save get their runs after it, and so are late.
  const savedAt = Date.now();
  await growOld(database);
  const over = new AbortController();
  const working = standInForWorkers(database, over.signal);
  const random = randomFrom(world.seed);
  let kills = 0;
  while (Date.now() < savedAt + plan.seconds * 1_000) {
    await pause(plan.killEveryMs ?? 100);
    if (plan.killEveryMs === undefined) continue;
    // The first scheduler is never killed, so that one is always up.
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

/** Ages the jobs, so that a scheduler that starts does not go over their slots once more. */
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

/** Ends waiting runs, so that they cause no skipped slots. */
async function standInForWorkers(database: pg.Client, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    // In the order of the service's own locks; another order could deadlock with its recovery.
    await database.query(`
      UPDATE run SET state = 'succeeded', status = 0, finished_at = now()
      WHERE id = ANY(ARRAY(SELECT id FROM run WHERE state = 'queued' ORDER BY id FOR UPDATE))`);
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
