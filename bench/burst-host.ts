/** A process that runs Carillon's scheduler or node-cron alone, and reports how late it fires and how long its loop blocks. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Infra } from "../src/infra.ts";
import { differentCrons } from "./many-jobs.ts";
import { answerRequests } from "./measuring-host.ts";

export type HostKind = "carillon" | "node-cron";

/** What a host has measured since the last request. */
export interface Seen {
  /** The longest time for which the event loop was blocked, in ms. */
  blockedMs: number;
  /** The highest number of SQL statements in one beat, BEGIN and COMMIT included. */
  statements: number;
  /** How late each task was called, in ms. Only for node-cron. */
  lateMs: number[];
  /** The growth of the heap since the start without jobs or tasks, in MB. */
  heapMb: number;
}

let emptyHeap = 0;

if (process.send !== undefined) await serve(process.argv[2] as HostKind, process.argv.slice(3));

async function serve(kind: HostKind, args: readonly string[]): Promise<void> {
  const take =
    kind === "carillon" ? await schedule(args[0] ?? "") : await callTasks(args[0] ?? "", Number(args[1]));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await answerRequests(async (): Promise<Seen> => {
    const blockedMs = delay.max / 1e6;
    const seen = { ...take(), blockedMs, heapMb: heap() - emptyHeap };
    // The garbage collection above blocks the loop. Reset after the sample that contains it.
    setTimeout(() => delay.reset(), 50);
    return seen;
  });
}

/** The used heap after a garbage collection, in MB. */
function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

type Take = () => Pick<Seen, "statements" | "lateMs">;

/** Starts the scheduler as the service does, and nothing else of the service. */
async function schedule(connectionString: string): Promise<Take> {
  const { default: pino } = await import("pino");
  const { openDatabase } = await import("../src/postgres/client.ts");
  const { createMonitor } = await import("../src/lifecycle.ts");
  const { openQueue } = await import("../src/queue/queue.ts");
  const { startScheduler } = await import("../src/scheduler/scheduler.ts");
  const beats = await countStatements();
  const log = pino({ level: "warn" }, process.stderr);
  const queue = await openQueue({
    connectionString,
    pools: ["default"],
    monitor: createMonitor("queue", log),
  });
  const db = openDatabase(connectionString);
  emptyHeap = heap();
  // The scheduler does not listen to signals.
  const infra = { db, queue } as Infra;
  startScheduler(infra, { defaultTimezone: "UTC", monitor: createMonitor("scheduler", log), log });
  return () => ({ statements: Math.max(...beats.splice(0, beats.length - 1)), lateMs: [] });
}

/** Counts the statements of each beat. A beat begins with the query for the time. */
async function countStatements(): Promise<number[]> {
  const { default: pg } = await import("pg");
  const beats = [0];
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  // Prisma passes statements as objects. pg-boss passes those of its maintenance as strings, which do not count.
  pg.Client.prototype.query = function (this: unknown, ...args: unknown[]) {
    const text = (args[0] as { text?: string }).text;
    if (text?.includes("scheduler_progress") && text.includes("definition_version")) beats.push(0);
    if (text !== undefined) beats.push((beats.pop() ?? 0) + 1);
    return query.apply(this, args);
  } as typeof pg.Client.prototype.query;
  return beats;
}

/** Starts tasks of node-cron that are all due at these seconds. */
async function callTasks(seconds: string, count: number): Promise<Take> {
  const { schedule: scheduleTask } = await import("node-cron");
  const silent = () => undefined;
  const logger = { info: silent, warn: silent, error: silent, debug: silent };
  const lateMs: number[] = [];
  emptyHeap = heap();
  for (const cron of differentCrons(count, seconds)) {
    scheduleTask(cron, ({ date }) => void lateMs.push(Date.now() - date.getTime()), {
      timezone: "UTC",
      logger,
    });
  }
  return () => ({ statements: 0, lateMs: lateMs.splice(0) });
}
