/** Measures how late runs are created when many jobs are due in one second, and compares that with node-cron. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { startNode } from "../scripts/reliability/campaign.ts";
import { startEmbeddedPostgres } from "../src/postgres/embedded/embedded-postgres.ts";
import { applyMigrations } from "../src/postgres/migrations.ts";
import type { HostKind, Seen } from "./burst-host.ts";
import { differentCrons, removeJobs, removeRuns, saveJobs } from "./burst-jobs.ts";
import { describeMachine, markdownTable, quantile, spread } from "./machine.ts";

/** The measurements of one slot, in ms. */
interface Burst extends Omit<Seen, "lateMs"> {
  late: { p50: number; p99: number; max: number };
  /** Runs that were created, or tasks that were called. */
  made: number;
}

/** One row of the first table. */
interface Row {
  name: string;
  seconds: string;
  /** The number of jobs or tasks of the process. */
  inMemory: number;
  burst(slot: Date): Promise<Burst>;
  bursts: Burst[];
}

const REPEATS = 7;
const WORKER_REPEATS = 3;
const PATIENCE_MS = 120_000;
const [FEW, MANY] = [1_000, 10_000];
/** The seconds field of each row's expressions: the rows take turns. */
const SECONDS = { few: "0,30", many: "8,38", tasks: "22,52" };

/** Prints how late runs are created, and how they spread over two workers. */
export async function benchBurst(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), "carillon-bench-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const connectionString = await openPostgres(path.join(folder, "data"), stack);
  const database = new pg.Client({ connectionString, options: "-c TimeZone=UTC" });
  await database.connect();
  stack.defer(() => database.end());

  const scheduler = stack.use(await openHost("carillon", [connectionString]));
  await saveJobs(database, "few", differentCrons(FEW, SECONDS.few));
  await saveJobs(database, "many", differentCrons(MANY, SECONDS.many));
  const tasks = await openHost("node-cron", [SECONDS.tasks, `${MANY}`]);
  const carillon = (count: number, seconds: string): Row => ({
    name: `Carillon, ${count.toLocaleString("en")} jobs: run committed`,
    seconds,
    inMemory: FEW + MANY,
    burst: (slot) => burstOfRuns(database, scheduler, slot, count),
    bursts: [],
  });
  const rows = [carillon(FEW, SECONDS.few), carillon(MANY, SECONDS.many), tasksRow(tasks)];
  await takeTurns(database, rows);
  tasks[Symbol.dispose]();
  console.log(`${describeMachine()}`);
  console.log(`Lateness in ms after the slot, median (min..max) of ${REPEATS} slots; the rows take turns.\n`);
  console.log(`${markdownTable([HEAD, ...rows.map(cells)])}\n`);

  for (const name of ["one", "two"]) {
    const world = { connectionString, folder, seed: 0 };
    stack.use(await startNode(world, name, { ROLES: "worker" }));
  }
  console.log(
    `${FEW.toLocaleString("en")} jobs, two worker processes: ms after the slot, and runs of each worker.\n`,
  );
  const starts = [["all attempts begun", "all ended", "runs of each worker"]];
  for (let repeat = 0; repeat < WORKER_REPEATS; repeat++) {
    starts.push(await burstOfCommands(database));
  }
  console.log(markdownTable(starts));
}

async function openPostgres(dataDir: string, stack: AsyncDisposableStack): Promise<string> {
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
  return connectionString;
}

interface Host extends Disposable {
  /** Returns what the host has measured since the last request. */
  ask(): Promise<Seen>;
}

async function openHost(kind: HostKind, args: readonly string[]): Promise<Host> {
  const host = fork(path.join(import.meta.dirname, "burst-host.ts"), [kind, ...args], {
    execArgv: ["--expose-gc"],
  });
  const gone = once(host, "exit").then(() => Promise.reject(new Error("a process that measures has ended")));
  gone.catch(() => undefined);
  const answer = () => Promise.race([once(host, "message"), gone]).then(([seen]) => seen as Seen);
  await answer();
  return {
    ask() {
      host.send("ask");
      return answer();
    },
    [Symbol.dispose]: () => void (host.connected && host.disconnect()),
  };
}

async function takeTurns(database: pg.Client, rows: readonly Row[]): Promise<void> {
  // The first slot of each host does not count: code is compiled and tables are read.
  for (let repeat = -1; repeat < REPEATS; repeat++) {
    for (const row of rows) {
      const burst = await row.burst(await nextSlot(database, row.seconds));
      if (repeat >= 0) row.bursts.push(burst);
    }
  }
}

/** Waits until shortly before the next slot at one of these seconds, and removes earlier runs. */
async function nextSlot(database: pg.Client, seconds: string): Promise<Date> {
  for (;;) {
    const first = Math.ceil(Date.now() / 1_000) + 3;
    const found = Array.from({ length: 60 }, (_, n) => first + n).find((at) =>
      seconds.split(",").includes(`${at % 60}`),
    );
    const slot = new Date((found ?? first) * 1_000);
    await delay(slot.getTime() - Date.now() - 2_000);
    await removeRuns(database);
    if (Date.now() < slot.getTime() - 500) return slot;
  }
}

async function burstOfRuns(database: pg.Client, scheduler: Host, slot: Date, count: number): Promise<Burst> {
  await scheduler.ask();
  await untilCount(database, count, "SELECT count(*)::int FROM run WHERE scheduled_for = $1", slot);
  // The beat still has some work after its last insert.
  await delay(1_500);
  const seen = await scheduler.ask();
  const { rows } = await database.query(
    `SELECT (percentile_disc(0.5) WITHIN GROUP (ORDER BY late))::float8 AS p50,
      (percentile_disc(0.99) WITHIN GROUP (ORDER BY late))::float8 AS p99, max(late)::float8 AS max
    FROM (SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(xmin) - scheduled_for) AS late
      FROM run WHERE scheduled_for = $1) AS lateness`,
    [slot],
  );
  await removeRuns(database);
  return { ...seen, late: rows[0], made: count };
}

function tasksRow(tasks: Host): Row {
  return {
    name: `node-cron, ${MANY.toLocaleString("en")} tasks: task called`,
    seconds: SECONDS.tasks,
    inMemory: MANY,
    async burst(slot) {
      await tasks.ask();
      await delay(slot.getTime() - Date.now());
      const seen: Seen[] = [];
      // node-cron drops tasks that are too late, so the count does not show when the slot is over.
      while (Date.now() < slot.getTime() + 5_000 || seen.at(-1)?.lateMs.length !== 0) {
        await delay(1_000);
        seen.push(await tasks.ask());
      }
      const lateMs = seen.flatMap((part) => part.lateMs);
      const late = { p50: quantile(lateMs, 0.5), p99: quantile(lateMs, 0.99), max: Math.max(...lateMs) };
      const blockedMs = Math.max(...seen.map((part) => part.blockedMs));
      return { late, made: lateMs.length, statements: 0, blockedMs, heapMb: seen.at(-1)?.heapMb ?? 0 };
    },
    bursts: [],
  };
}

const HEAD = ["", "p50", "p99", "max", "loop blocked at most", "SQL statements", "made", "kB a job"];

function cells({ name, inMemory, bursts }: Row): string[] {
  const late = (["p50", "p99", "max"] as const).map((key) => spread(bursts.map((burst) => burst.late[key])));
  const blocked = spread(bursts.map((burst) => burst.blockedMs));
  const statements = Math.max(...bursts.map((burst) => burst.statements));
  const memory = ((1_024 * Math.max(...bursts.map((burst) => burst.heapMb))) / inMemory).toFixed(1);
  const made = spread(bursts.map((burst) => burst.made));
  return [name, ...late, blocked, statements === 0 ? "" : `${statements}`, made, memory];
}

async function burstOfCommands(database: pg.Client): Promise<string[]> {
  await removeJobs(database);
  // The only slot of the hour, so that no other slot interferes.
  const slot = new Date((Math.ceil(Date.now() / 1_000) + 6) * 1_000);
  const cron = `${slot.getSeconds()} ${slot.getMinutes()} * * * *`;
  await saveJobs(database, "few", Array(FEW).fill(cron));
  await untilCount(
    database,
    FEW,
    "SELECT count(*)::int FROM run WHERE scheduled_for = $1 AND state = 'succeeded'",
    slot,
  );
  const { rows } = await database.query(
    `SELECT (1000 * extract(epoch FROM max(a.started_at) - $1))::int AS started,
      (1000 * extract(epoch FROM max(a.finished_at) - $1))::int AS ended,
      (SELECT string_agg(runs::text, ' + ') FROM (SELECT count(*) AS runs FROM attempt GROUP BY worker)) AS spread
    FROM attempt a JOIN run ON run.id = a.run_id WHERE run.scheduled_for = $1`,
    [slot],
  );
  await removeRuns(database);
  return Object.values(rows[0]).map(String);
}

async function untilCount(database: pg.Client, count: number, query: string, slot: Date): Promise<void> {
  const deadline = slot.getTime() + PATIENCE_MS;
  for (;;) {
    const { rows } = await database.query(query, [slot]);
    if (rows[0].count === count) return;
    if (Date.now() > deadline) throw new Error(`${rows[0].count} of ${count} runs within ${PATIENCE_MS} ms`);
    await delay(200);
  }
}
