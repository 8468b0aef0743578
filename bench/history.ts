/** Measures every documented query of the history with 10,000 and with a million runs, or ten. */
import { createDatabase, dropDatabase, execute } from "../test/support/postgres-server.ts";
import type { Bench, Benchmark, Result } from "./benchmark.ts";
import { type Query, queriesOf } from "./history-queries.ts";
import { fillHistory } from "./history-rows.ts";
import { timed } from "./http-client.ts";
import { quantile } from "./machine.ts";
import { openOneServer, openSession, readRow, type Server } from "./postgres.ts";
import { type BenchService, openService } from "./service.ts";

export const benchmark: Benchmark = {
  summary: "p50 and p95 of every query of the history with 10,000 and 1,000,000 runs",
  seconds: 0.5,
  rounds: 3,
  options: {
    rows: {
      value: "10000,1000000",
      describe: "sizes of the history; 10000,10000000 takes about 20 minutes to fill",
    },
    requests: {
      value: "20",
      describe: "calls of each query in a turn, unless they take longer than --seconds",
    },
    keep: {
      value: "",
      describe: "a name: the databases NAME_ROWS on DATABASE_URL are kept, and continued or used again",
    },
  },
  run,
};

/** So many runs a second are filled on a slow disk. */
const SLOW_FILL = 5_000;
const LEAST_REQUESTS = 3;
/** Filling a history of this size is part of the three minutes. */
const SMALL = 1_000_000;

interface History {
  size: number;
  service: BenchService;
  queries: Query[];
}

async function run(bench: Bench): Promise<void> {
  const server = await openOneServer(bench);
  const histories: History[] = [];
  for (const size of bench.numbers("rows")) histories.push(await openHistory(bench, server, size));
  const results = await takeTurns(bench, histories);
  bench.report(`Queries of the history, ms, ${server.name}`, results);
  bench.note(
    "ratio: p95 of the longest history divided by that of the shortest. One run each 3 s, so that a longer history " +
      "is an older one.",
  );
}

async function openHistory(bench: Bench, server: Server, size: number): Promise<History> {
  const { stack } = bench;
  const kept = bench.text("keep");
  if (kept !== "" && !process.env["DATABASE_URL"]) throw new Error("--keep needs DATABASE_URL");
  const name = `${kept || `carillon_bench_${process.pid}`}_${size}`;
  const isThere = await execute(server.connectionString, `SELECT FROM pg_database WHERE datname = '${name}'`);
  const url = new URL(server.connectionString);
  url.pathname = `/${name}`;
  if (isThere.length === 0) await createDatabase(server.connectionString, name);
  if (kept === "") stack.defer(() => dropDatabase(server.connectionString, name));
  const session = await openSession(stack, url.href);
  const service = await openService(bench, { connectionString: url.href, session }, { ROLES: "api" });
  if (size > SMALL) bench.extend(size / SLOW_FILL);
  await fillHistory(session, size, bench.progress);
  const { began, ended } = await readRow<{ began: Date; ended: Date }>(
    session,
    "SELECT began, (SELECT triggered_at FROM run ORDER BY id DESC LIMIT 1) AS ended FROM bench_history",
  );
  const middle = new Date((began.getTime() + ended.getTime()) / 2);
  return { size, service, queries: await queriesOf(service.api, middle) };
}

/** Each query is a row, and each size has its columns: the sizes take turns for each query. */
async function takeTurns(bench: Bench, histories: readonly History[]): Promise<Result[]> {
  const names = histories[0]?.queries.map(({ name }) => name) ?? [];
  const sides = names.map((name, index) => ({
    name,
    async measure(seconds: number) {
      const figures: Record<string, number> = {};
      const upper: number[] = [];
      for (const { size, service, queries } of histories) {
        const ms = await callAgain(service, queries[index]?.path ?? "", seconds, bench.number("requests"));
        const label = size.toLocaleString("en");
        figures[`${label}: p50`] = quantile(ms, 0.5);
        figures[`${label}: p95`] = quantile(ms, 0.95);
        upper.push(quantile(ms, 0.95));
      }
      if (upper.length > 1) figures["ratio"] = (upper.at(-1) ?? 0) / (upper[0] ?? 0);
      return figures;
    },
  }));
  return bench.takeTurns(sides);
}

async function callAgain(
  { api }: BenchService,
  path: string,
  seconds: number,
  requests: number,
): Promise<number[]> {
  const ms: number[] = [];
  const from = performance.now();
  while (ms.length < requests) {
    if (ms.length >= LEAST_REQUESTS && performance.now() - from > seconds * 1_000) break;
    const { status, text } = await timed(ms, () => api.call("GET", path));
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${text}`);
  }
  return ms;
}
