/** Measures chains of jobs that trigger each other: how long one takes, and how many a second with several in flight. */
import { setTimeout as delay } from "node:timers/promises";
import type { Bench, Benchmark, Figures } from "./benchmark.ts";
import { percentiles } from "./machine.ts";
import { openDatabase, openOneServer, readRow } from "./postgres.ts";
import { type BenchService, openService } from "./service.ts";

export const benchmark: Benchmark = {
  summary: "10 jobs that trigger each other: time of a chain, and chains a second",
  seconds: 8,
  rounds: 5,
  options: {
    length: { value: "10", describe: "jobs of a chain, at most 16" },
    "in-flight": { value: "1,8", describe: "chains in flight" },
  },
  run,
};

/** How often the loop looks for chains that have ended, in ms. */
const LOOK_MS = 10;
const PATIENCE_MS = 60_000;

async function run(bench: Bench): Promise<void> {
  const length = bench.number("length");
  const server = await openOneServer(bench);
  const service = await openService(bench, await openDatabase(bench, server), { WORKER_CONCURRENCY: "16" });
  // The last one first: a job must exist before another may trigger it.
  for (let link = length; link >= 1; link--) {
    const next = link < length && { on_success: { trigger_job: [`link-${link + 1}`] } };
    await service.api.json("PUT", `/jobs/link-${link}`, { command: ["true"], ...next });
  }
  const results = await bench.takeTurns(
    bench.numbers("in-flight").map((inFlight) => ({
      name: `${inFlight} in flight`,
      measure: (seconds) => runChains(service, { length, inFlight, seconds }),
    })),
  );
  bench.report(`Chains of ${length} jobs, ${server.name}`, results);
  bench.note("chain: from triggered_at of the first run to finished_at of the last, as recorded.");
}

interface Order {
  length: number;
  inFlight: number;
  seconds: number;
}

/** Keeps so many chains in flight until the time is over, and waits for the last ones. */
async function runChains(service: BenchService, { length, inFlight, seconds }: Order): Promise<Figures> {
  const { api, session } = service;
  const from = performance.now();
  const before = await ended(service, length);
  const firsts: string[] = [];
  const isOver = () => performance.now() - from > seconds * 1_000;
  for (let done = 0; !isOver() || done < firsts.length; done = (await ended(service, length)) - before) {
    if (performance.now() - from > seconds * 1_000 + PATIENCE_MS) throw new Error("chains do not end");
    const count = isOver() ? 0 : inFlight - (firsts.length - done);
    const triggers = Array.from({ length: count }, () =>
      api.json<{ id: string }>("POST", "/jobs/link-1/trigger"),
    );
    firsts.push(...(await Promise.all(triggers)).map(({ id }) => id));
    await delay(LOOK_MS);
  }
  const took = (performance.now() - from) / 1_000;
  const { rows } = await session.query(
    `WITH RECURSIVE chain AS (
      SELECT id AS first, id, triggered_at, finished_at FROM run WHERE id = ANY($1::uuid[])
      UNION ALL SELECT chain.first, run.id, chain.triggered_at, run.finished_at
      FROM chain JOIN run_event e ON e.run_id = chain.id JOIN run ON run.parent_event_id = e.id)
    SELECT 1000 * extract(epoch FROM max(finished_at) - min(triggered_at))::float8 AS ms, count(*)::int AS runs
    FROM chain GROUP BY first`,
    [firsts],
  );
  if (rows.some(({ runs }) => runs !== length)) throw new Error(`a chain has not ${length} runs`);
  const chain = rows.map(({ ms }) => Number(ms));
  return {
    "chains/s": firsts.length / took,
    "runs/s": (firsts.length * length) / took,
    ...percentiles("chain", chain),
  };
}

/** How many chains have ended in this database. */
async function ended({ session }: BenchService, length: number): Promise<number> {
  const { count } = await readRow<{ count: number }>(
    session,
    `SELECT count(*)::int FROM run WHERE state = 'succeeded'
      AND job_id = (SELECT id FROM job WHERE name = $1)`,
    [`link-${length}`],
  );
  return count;
}
