/** Measures how late runs are created when many jobs are due in one second, and compares that with node-cron. */
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { startEmbeddedPostgres } from "../src/postgres/embedded/embedded-postgres.ts";
import { applyMigrations } from "../src/postgres/migrations.ts";
import type { Bench, Benchmark, Figures, Side } from "./benchmark.ts";
import type { HostKind, Seen } from "./burst-host.ts";
import { spreadOverWorkers, untilCount } from "./burst-workers.ts";
import { quantile } from "./machine.ts";
import { differentCrons, removeRuns, saveJobs } from "./many-jobs.ts";
import { type Host, openHost } from "./measuring-host.ts";
import { type BenchDatabase, openSession, readRow } from "./postgres.ts";

export const benchmark: Benchmark = {
  summary: "how late the runs of 1,000 and 10,000 jobs due on one second are made, beside node-cron",
  seconds: 0,
  rounds: 3,
  options: {
    jobs: { value: "1000,10000", describe: "jobs that are due together, one row for each number" },
    schedulers: { value: "2", describe: "processes with the scheduler" },
    period: { value: "20", describe: "seconds in which each row has one slot; a divisor of 60" },
  },
  run,
};

type BurstHost = Host<string, Seen>;

/** So long before a slot (ms) earlier runs are removed. */
const LEAD_MS = 1_500;
const MINUTE_S = 60;

async function run(bench: Bench): Promise<void> {
  const database = await openPostgres(bench);
  const sizes = bench.numbers("jobs");
  const most = Math.max(...sizes);
  const schedulers: BurstHost[] = [];
  for (let n = 0; n < bench.number("schedulers"); n++) {
    schedulers.push(await openBurstHost(bench, "carillon", [database.connectionString]));
  }
  const inMemory = sizes.reduce((sum, size) => sum + size, 0);
  const sides: Side[] = [];
  for (const [index, size] of sizes.entries()) {
    const seconds = secondsOf(bench, index, sizes.length + 1);
    await saveJobs(database.session, `jobs-${size}`, differentCrons(size, seconds));
    sides.push({
      name: `Carillon, ${size.toLocaleString("en")} jobs: run committed`,
      measure: () => burstOfRuns(bench, { database, schedulers, seconds, count: size, inMemory }),
    });
    bench.progress(`${size} jobs are saved`);
  }
  const seconds = secondsOf(bench, sizes.length, sizes.length + 1);
  const tasks = await openBurstHost(bench, "node-cron", [seconds, `${most}`]);
  sides.push({
    name: `node-cron, ${most.toLocaleString("en")} tasks: task called`,
    measure: () => burstOfTasks(database, tasks, seconds, most),
  });
  const results = await bench.takeTurns(sides);
  bench.report(`Lateness after the slot, ${schedulers.length} schedulers`, results);
  bench.note("made: runs, or calls of tasks. Processes with several rows hold the jobs of all of them.");
  tasks[Symbol.dispose]();
  await spreadOverWorkers(bench, database, Math.min(...sizes));
}

async function openPostgres({ folder, stack }: Bench): Promise<BenchDatabase> {
  const dataDir = path.join(folder, "data");
  const first = await startEmbeddedPostgres({ dataDir });
  const admin = new pg.Client({ connectionString: first.connectionString });
  await admin.connect();
  // So that each row has its commit time.
  await admin.query("ALTER SYSTEM SET track_commit_timestamp = on");
  await admin.end();
  await first.stop();
  const { connectionString, stop } = await startEmbeddedPostgres({ dataDir });
  stack.defer(stop);
  await applyMigrations(connectionString);
  return { connectionString, session: await openSession(stack, connectionString) };
}

async function openBurstHost({ stack }: Bench, kind: HostKind, args: string[]): Promise<BurstHost> {
  return stack.use(await openHost<string, Seen>("burst-host.ts", [kind, ...args], ["--expose-gc"]));
}

/** The seconds field of a row's expressions: the rows take turns within the period. */
function secondsOf(bench: Bench, index: number, rows: number): string {
  const period = bench.number("period");
  const first = Math.floor((index * period) / rows);
  return Array.from({ length: MINUTE_S / period }, (_, n) => first + n * period).join(",");
}

/** Waits until shortly before the next slot at one of these seconds, and removes earlier runs. */
async function nextSlot({ session }: BenchDatabase, seconds: string): Promise<Date> {
  for (;;) {
    const first = Math.ceil((Date.now() + LEAD_MS) / 1_000);
    const found = Array.from({ length: MINUTE_S }, (_, n) => first + n).find((at) =>
      seconds.split(",").includes(`${at % MINUTE_S}`),
    );
    const slot = new Date((found ?? first) * 1_000);
    await delay(slot.getTime() - Date.now() - LEAD_MS);
    await removeRuns(session);
    if (Date.now() < slot.getTime() - 300) return slot;
  }
}

interface Burst {
  database: BenchDatabase;
  schedulers: readonly BurstHost[];
  seconds: string;
  count: number;
  /** The number of jobs in the memory of each scheduler. */
  inMemory: number;
}

async function burstOfRuns(bench: Bench, burst: Burst): Promise<Figures> {
  const { database, schedulers, seconds, count, inMemory } = burst;
  const slot = await nextSlot(database, seconds);
  const ask = () => Promise.all(schedulers.map((host) => host.ask("ask")));
  await ask();
  await untilCount(bench, database, count, slot, "TRUE");
  // The beat still has some work after its last insert.
  await delay(1_000);
  const seen = await ask();
  const late = await readRow<{ p50: number; p99: number; max: number }>(
    database.session,
    `SELECT (percentile_disc(0.5) WITHIN GROUP (ORDER BY late))::float8 AS p50,
      (percentile_disc(0.99) WITHIN GROUP (ORDER BY late))::float8 AS p99, max(late)::float8 AS max
    FROM (SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(xmin) - scheduled_for) AS late
      FROM run WHERE scheduled_for = $1) AS lateness`,
    [slot],
  );
  await removeRuns(database.session);
  const highest = (key: "blockedMs" | "statements" | "heapMb") => Math.max(...seen.map((one) => one[key]));
  return {
    ...{ "p50 (ms)": late.p50, "p99 (ms)": late.p99, "max (ms)": late.max, made: count },
    "loop blocked at most (ms)": highest("blockedMs"),
    "SQL statements of a beat": highest("statements"),
    "kB a job": (highest("heapMb") * 1_024) / inMemory,
  };
}

async function burstOfTasks(
  database: BenchDatabase,
  tasks: BurstHost,
  seconds: string,
  count: number,
): Promise<Figures> {
  const slot = await nextSlot(database, seconds);
  await tasks.ask("ask");
  await delay(slot.getTime() - Date.now());
  const seen: Seen[] = [];
  // node-cron drops tasks that are too late, so the count does not show when the slot is over.
  const enough = slot.getTime() + 1_000 + count / 2.5;
  while (Date.now() < enough || seen.at(-1)?.lateMs.length !== 0) {
    await delay(500);
    seen.push(await tasks.ask("ask"));
  }
  const lateMs = seen.flatMap((part) => part.lateMs);
  const [p50, p99, max] = [quantile(lateMs, 0.5), quantile(lateMs, 0.99), quantile(lateMs, 1)];
  return {
    ...{ "p50 (ms)": p50, "p99 (ms)": p99, "max (ms)": max, made: lateMs.length },
    "loop blocked at most (ms)": Math.max(...seen.map((part) => part.blockedMs)),
    "kB a job": ((seen.at(-1)?.heapMb ?? 0) * 1_024) / count,
  };
}
