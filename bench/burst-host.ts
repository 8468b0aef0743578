/** A process that fires at each slot, and tells how late and how long its event loop stood still: a scheduler of Carillon, or node-cron alone. */
import { once } from "node:events";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Infra } from "../src/infra.ts";
import { differentCrons } from "./burst-jobs.ts";

export type HostKind = "carillon" | "node-cron";

/** What a host has seen since it was asked before. */
export interface Seen {
  /** The longest time in which the event loop did nothing else, in ms. */
  blockedMs: number;
  /** SQL statements of the beat that had most, the transactions' own included. */
  statements: number;
  /** How late each task was called, in ms; node-cron only. */
  lateMs: number[];
  /** By how much the heap has grown since there were no jobs or tasks, in MB. */
  heapMb: number;
}

let emptyHeap = 0;

if (process.send !== undefined) await serve(process.argv[2] as HostKind, process.argv.slice(3));

async function serve(kind: HostKind, args: readonly string[]): Promise<void> {
  const take =
    kind === "carillon" ? await schedule(args[0] ?? "") : await callTasks(args[0] ?? "", Number(args[1]));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  process.on("message", () => {
    const blockedMs = delay.max / 1e6;
    process.send?.({ ...take(), blockedMs, heapMb: heap() - emptyHeap } satisfies Seen);
    // What the heap has just cost is seen by the next sample.
    setTimeout(() => delay.reset(), 50);
  });
  process.send?.("ready");
  await once(process, "disconnect");
  process.exit();
}

/** What is on the heap and not garbage, in MB. */
function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

type Take = () => Pick<Seen, "statements" | "lateMs">;

/** The scheduler as the service starts it, and nothing else of the service. */
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
  // Nothing of the scheduler listens to signals.
  const infra = { db, queue } as Infra;
  startScheduler(infra, { defaultTimezone: "UTC", monitor: createMonitor("scheduler", log), log });
  return () => ({ statements: Math.max(...beats.splice(0, beats.length - 1)), lateMs: [] });
}

/** Counts the statements of each beat; a beat begins with its look at the clock. */
async function countStatements(): Promise<number[]> {
  const { default: pg } = await import("pg");
  const beats = [0];
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  // Prisma hands statements over as objects, and pg-boss those of its maintenance as texts.
  pg.Client.prototype.query = function (this: unknown, ...args: unknown[]) {
    const text = (args[0] as { text?: string }).text;
    if (text?.includes("scheduler_progress") && text.includes("definition_version")) beats.push(0);
    if (text !== undefined) beats.push((beats.pop() ?? 0) + 1);
    return query.apply(this, args);
  } as typeof pg.Client.prototype.query;
  return beats;
}

/** Tasks of node-cron, all on these seconds. */
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
