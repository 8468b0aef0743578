/** Measures how fast one, two and more worker processes on one Postgres work off a backlog. */
import { setTimeout as delay } from "node:timers/promises";
import { byCallers } from "../scripts/reliability/campaign.ts";
import type { Bench, Benchmark, Figures } from "./benchmark.ts";
import { openDatabase, openOneServer, readRow } from "./postgres.ts";
import { type BenchService, openService } from "./service.ts";

export const benchmark: Benchmark = {
  summary: "runs a second of a backlog with 1 and 2 worker processes",
  seconds: 1,
  rounds: 3,
  options: {
    workers: { value: "1,2", describe: "numbers of worker processes, such as 1,2,4" },
    backlog: { value: "2400", describe: "runs that wait when the workers start" },
    concurrency: { value: "16", describe: "commands at a time of each worker" },
  },
  run,
};

/** A job may have 1,000 waiting runs. */
const RUNS_PER_JOB = 800;
const LOOK_MS = 100;
const PATIENCE_MS = 90_000;

async function run(bench: Bench): Promise<void> {
  const server = await openOneServer(bench);
  const api = await openService(bench, await openDatabase(bench, server), { ROLES: "api" });
  const backlog = bench.number("backlog");
  for (let job = 0; job * RUNS_PER_JOB < backlog; job++) {
    await api.api.json("PUT", `/jobs/job-${job}`, { command: ["true"] });
  }
  const sides = bench.numbers("workers").map((workers) => ({
    name: `${workers} worker processes`,
    measure: () => workOff(bench, api, { workers, backlog }),
  }));
  bench.report(
    `A backlog of ${backlog} runs, ${server.name}`,
    await bench.takeTurns(sides, { warmUp: false }),
  );
  bench.note(
    "Counted from the first command of the worker that began last, until the last command of the worker that ended first: " +
      "while all of them work. --seconds has no effect.",
  );
}

async function workOff(
  bench: Bench,
  api: BenchService,
  { workers, backlog }: { workers: number; backlog: number },
): Promise<Figures> {
  const { now } = await readRow<{ now: Date }>(api.session, "SELECT now()");
  const jobs = Array.from({ length: backlog }, (_, n) => `job-${Math.floor(n / RUNS_PER_JOB)}`);
  await byCallers(jobs, (job) => api.api.json("POST", `/jobs/${job}/trigger`));
  bench.progress(`${backlog} runs wait`);
  const environment = { ROLES: "worker", WORKER_CONCURRENCY: bench.text("concurrency") };
  const nodes = await Promise.all(
    Array.from({ length: workers }, () => openService(bench, api, environment)),
  );
  await untilEnded(bench, api, now, backlog);
  await Promise.all(nodes.map((node) => node.process.end("SIGTERM")));
  return rate(api, now);
}

async function untilEnded(
  bench: Bench,
  { session }: BenchService,
  since: Date,
  count: number,
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let look = 1; ; look++) {
    const { ended } = await readRow<{ ended: number }>(
      session,
      "SELECT count(*)::int AS ended FROM run WHERE triggered_at >= $1 AND finished_at IS NOT NULL",
      [since],
    );
    if (ended >= count) return;
    if (performance.now() > deadline) throw new Error(`${ended} of ${count} runs ended`);
    if (look % 50 === 0) bench.progress(`${ended} of ${count} runs have ended`);
    await delay(LOOK_MS);
  }
}

/** Runs a second while all workers worked, and the share of the least busy one. */
async function rate({ session }: BenchService, since: Date): Promise<Figures> {
  const { rate, least } = await readRow<{ rate: number; least: number }>(
    session,
    `WITH ours AS (SELECT a.* FROM attempt a JOIN run ON run.id = a.run_id WHERE run.triggered_at >= $1),
    worker AS (SELECT min(started_at) AS began, max(finished_at) AS ended, count(*) AS runs FROM ours GROUP BY worker),
    common AS (SELECT max(began) AS began, min(ended) AS ended FROM worker)
    SELECT (count(*) / extract(epoch FROM common.ended - common.began))::float8 AS rate,
      (100.0 * (SELECT min(runs) FROM worker) / (SELECT sum(runs) FROM worker))::float8 AS least
    FROM common JOIN ours ON finished_at BETWEEN common.began AND common.ended GROUP BY common.began, common.ended`,
    [since],
  );
  return { "runs/s": rate, "least busy worker (% of runs)": least };
}
