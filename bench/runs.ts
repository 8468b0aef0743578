/** Measures runs of `true` from the trigger over REST until they are recorded, beside pg-boss with spawn, dagu, and C. */
import type { Bench, Benchmark, Figures, Side } from "./benchmark.ts";
import { compileCeiling } from "./ceiling.ts";
import { daguSides } from "./dagu.ts";
import { inLanes, timed } from "./http-client.ts";
import { percentiles } from "./machine.ts";
import { openHost } from "./measuring-host.ts";
import type { Loop, LoopOrder } from "./pg-boss-host.ts";
import { openAllServers, openDatabase, type Server } from "./postgres.ts";
import { type BenchService, measureUsage, memory, openService } from "./service.ts";

export const benchmark: Benchmark = {
  summary: "runs of `true` a second, from the trigger until recorded, beside pg-boss, dagu and C",
  seconds: 2.5,
  rounds: 5,
  options: { "in-flight": { value: "1,16", describe: "runs in flight, such as 1,8,16,32" } },
  run,
};

const COMMAND = ["/bin/true"];
const JOB = "bell";
/** The part of a turn that measures acknowledgements. */
const ACK_SHARE = 0.25;

async function run(bench: Bench): Promise<void> {
  const inFlight = bench.numbers("in-flight");
  const sides: Side[] = [];
  for (const server of await openAllServers(bench)) {
    sides.push(...(await carillonSides(bench, server, inFlight)));
    sides.push(...(await pgBossSides(bench, server, inFlight)));
  }
  sides.push(...(await daguSides(bench, inFlight)));
  sides.push(...(await ceilingSides(bench, inFlight)));
  bench.report("Runs of `true`: trigger until recorded", await bench.takeTurns(sides));
  bench.note(
    "ack: the response to a trigger, or `send`. start: from triggered_at to started_at as recorded; for pg-boss, from " +
      "`send` until spawn has returned. Processor time: the processes of that row only, children not included; " +
      "Postgres: the sessions on its database. pg-boss: one process, no API, no history.",
  );
}

async function carillonSides(bench: Bench, server: Server, inFlight: number[]): Promise<Side[]> {
  const environment = { WORKER_CONCURRENCY: `${Math.max(...inFlight)}` };
  const service = await openService(bench, await openDatabase(bench, server), environment);
  await service.api.json("PUT", `/jobs/${JOB}`, { command: COMMAND });
  return inFlight.map((lanes) => ({
    name: `Carillon, ${server.name}, ${lanes} in flight`,
    measure: (seconds) => runLoop(service, lanes, seconds),
  }));
}

/**
 * Triggers runs in so many lanes. Each call waits for the end of its run. Afterwards a shorter loop triggers without
 * waiting, to see how long an acknowledgement takes, and waits by a second call.
 */
async function runLoop(service: BenchService, lanes: number, seconds: number): Promise<Figures> {
  const { api, session } = service;
  const used = await measureUsage(service);
  const { rows: last } = await session.query("SELECT id FROM run ORDER BY id DESC LIMIT 1");
  let count = 0;
  const took = await inLanes(lanes, seconds * (1 - ACK_SHARE), async () => {
    const { state } = await api.json<{ state: string }>("POST", `/jobs/${JOB}/trigger?wait=30s`);
    if (state !== "succeeded") throw new Error(`a run is ${state}`);
    count += 1;
  });
  const usage = await used(count);
  const { rows } = await session.query(
    `SELECT (1000 * extract(epoch FROM started_at - triggered_at))::float8 AS ms FROM run
    WHERE id > coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)`,
    [last[0]?.id],
  );
  const ack: number[] = [];
  await inLanes(lanes, seconds * ACK_SHARE, async () => {
    const trigger = () => api.json<{ id: string }>("POST", `/jobs/${JOB}/trigger`);
    const { id } = await timed(ack, trigger);
    await api.json("GET", `/runs/${id}?wait=30s`);
  });
  const start = rows.map(({ ms }) => Number(ms));
  return {
    "runs/s": count / took,
    ...percentiles("ack", ack),
    ...percentiles("start", start),
    ...usage,
    ...memory(service),
  };
}

async function pgBossSides(bench: Bench, server: Server, inFlight: number[]): Promise<Side[]> {
  const { connectionString } = await openDatabase(bench, server);
  const host = bench.stack.use(await openHost<LoopOrder, Loop>("pg-boss-host.ts", [connectionString]));
  return inFlight.map((lanes) => ({
    name: `pg-boss + spawn, ${server.name}, ${lanes} in flight`,
    async measure(seconds) {
      const { count, seconds: took, ack, start, processor } = await host.ask({ inFlight: lanes, seconds });
      return {
        "runs/s": count / took,
        ...percentiles("ack", ack),
        ...percentiles("start", start),
        "main (ms processor/run)": processor / count,
      };
    },
  }));
}

async function ceilingSides({ folder }: Bench, inFlight: number[]): Promise<Side[]> {
  const ceiling = await compileCeiling(folder);
  return inFlight.map((lanes) => {
    const name = `C, posix_spawn, ${lanes} in flight`;
    if (typeof ceiling !== "function")
      return { name, ...ceiling, measure: () => Promise.reject(new Error(name)) };
    return {
      name,
      measure: async (seconds) => ({ "runs/s": await ceiling(lanes, seconds, COMMAND) }),
    };
  });
}
