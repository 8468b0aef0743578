/** Measures how long a service with many jobs takes to start, its memory, and what it uses while nothing is due. */
import { setTimeout as delay } from "node:timers/promises";
import type { Bench, Benchmark, Figures } from "./benchmark.ts";
import { distantCrons, saveJobs } from "./many-jobs.ts";
import { type BenchDatabase, openDatabase, openOneServer } from "./postgres.ts";
import { measureUsage, memory, openService } from "./service.ts";

export const benchmark: Benchmark = {
  summary: "start, memory and idle processor time with 10 and 10,000 jobs whose cron is not due",
  seconds: 20,
  rounds: 3,
  options: { sizes: { value: "10,10000", describe: "numbers of jobs, such as 10,10000,100000" } },
  run,
};

/** After the start, the scheduler reads the jobs and code is compiled. That is no idle time. */
const SETTLE_MS = 3_000;

async function run(bench: Bench): Promise<void> {
  const server = await openOneServer(bench);
  const sides = [];
  for (const size of bench.numbers("sizes")) {
    const database = await openDatabase(bench, server);
    // The first service makes the tables.
    await (await openService(bench, database, { ROLES: "api" })).process.end("SIGTERM");
    await saveJobs(database.session, "many", distantCrons(size, new Date()));
    bench.progress(`${size} jobs are saved`);
    sides.push({
      name: `${size.toLocaleString("en")} jobs, ${server.name}`,
      measure: (seconds: number) => startAndIdle(bench, database, seconds),
    });
  }
  bench.report("A service while nothing is due", await bench.takeTurns(sides, { warmUp: false }));
  bench.note(
    "start: from the start of the process until it listens, with all roles. Memory (VmRSS) after the idle time. idle: " +
      "processor time in % of one core.",
  );
}

async function startAndIdle(bench: Bench, database: BenchDatabase, seconds: number): Promise<Figures> {
  const from = performance.now();
  const service = await openService(bench, database);
  const started = performance.now() - from;
  await delay(SETTLE_MS);
  const used = await measureUsage(service);
  const idleFrom = performance.now();
  await delay(seconds * 1_000);
  const shares = await used((performance.now() - idleFrom) / 100);
  const size = memory(service);
  await service.process.end("SIGTERM");
  const idle = Object.entries(shares).map(([title, share]) => [
    title.replace(/\(.*\)/, "idle (% of a core)"),
    share,
  ]);
  return { "start (ms)": started, ...size, ...Object.fromEntries(idle) };
}
