/** Measures the time from a trigger to the start of its command: one run at a time, and under a steady rate. */
import { setTimeout as delay } from "node:timers/promises";
import type { Bench, Benchmark, Figures } from "./benchmark.ts";
import { inLanes } from "./http-client.ts";
import { percentiles } from "./machine.ts";
import { openDatabase, openOneServer } from "./postgres.ts";
import { type BenchService, openService } from "./service.ts";

export const benchmark: Benchmark = {
  summary: "trigger to start of the command: one at a time, and under a steady rate",
  seconds: 8,
  rounds: 5,
  options: {
    rate: { value: "200", describe: "triggers a second of the steady rate" },
    "most-waiting": { value: "200", describe: "unfinished runs above which a trigger is left out" },
  },
  run,
};

const JOB = "clock";
/** Prints its own time, so that the log of a run says when its command ran. */
const COMMAND = ["date", "+%s%N"];

async function run(bench: Bench): Promise<void> {
  const server = await openOneServer(bench);
  const service = await openService(bench, await openDatabase(bench, server), { WORKER_CONCURRENCY: "16" });
  await service.api.json("PUT", `/jobs/${JOB}`, { command: COMMAND });
  const rate = bench.number("rate");
  const most = bench.number("most-waiting");
  const results = await bench.takeTurns([
    { name: "one at a time", measure: (seconds) => oneAtATime(service, seconds) },
    { name: `${rate} triggers/s`, measure: (seconds) => steadily(service, seconds, { rate, most }) },
  ]);
  bench.report(`Trigger to command, ${server.name}`, results);
  bench.note(
    "recorded start: from triggered_at to started_at. command: from the moment before the request to the clock that " +
      "the command itself reads, so with the time in which `date` starts. whole run: until the call with `wait` has its answer.",
  );
}

/** What a turn gathers; times in ms. */
interface Times {
  recorded: number[];
  command: number[];
  whole: number[];
}

async function oneAtATime(service: BenchService, seconds: number): Promise<Figures> {
  const times: Times = { recorded: [], command: [], whole: [] };
  const took = await inLanes(1, seconds, () => runOnce(service, times));
  return summary(times, took);
}

interface Rate {
  rate: number;
  most: number;
}

/** Triggers at fixed times, whether or not earlier runs have ended. */
async function steadily(service: BenchService, seconds: number, { rate, most }: Rate): Promise<Figures> {
  const times: Times = { recorded: [], command: [], whole: [] };
  const underWay = new Set<Promise<void>>();
  const from = performance.now();
  let leftOut = 0;
  for (let count = 0; count < seconds * rate; count++) {
    const wait = from + (1_000 * count) / rate - performance.now();
    if (wait > 0) await delay(wait);
    if (underWay.size >= most) {
      leftOut += 1;
      continue;
    }
    const one = runOnce(service, times).finally(() => underWay.delete(one));
    underWay.add(one);
  }
  await Promise.all(underWay);
  return { ...summary(times, (performance.now() - from) / 1_000), "triggers left out": leftOut };
}

async function runOnce({ api }: BenchService, times: Times): Promise<void> {
  const sentAt = performance.timeOrigin + performance.now();
  const run = await api.json<{ state: string; log: string; triggered_at: string; started_at: string }>(
    "POST",
    `/jobs/${JOB}/trigger?wait=30s`,
  );
  if (run.state !== "succeeded") throw new Error(`a run is ${run.state}`);
  times.recorded.push(Date.parse(run.started_at) - Date.parse(run.triggered_at));
  times.command.push(Number(run.log) / 1e6 - sentAt);
  times.whole.push(performance.timeOrigin + performance.now() - sentAt);
}

function summary({ recorded, command, whole }: Times, seconds: number): Figures {
  return {
    "runs/s": whole.length / seconds,
    ...percentiles("recorded start", recorded),
    ...percentiles("command", command),
    ...percentiles("whole run", whole),
  };
}
