/** Runs one of the benchmarks: `npm run bench -- runs`; see docs/performance.md. */
import { parseArgs } from "node:util";
import type { Benchmark } from "./benchmark.ts";
import { runBenchmark } from "./harness.ts";

const BENCHMARKS: Readonly<Record<string, () => Promise<{ benchmark: Benchmark }>>> = {
  runs: () => import("./runs.ts"),
  latency: () => import("./latency.ts"),
  chain: () => import("./chain.ts"),
  burst: () => import("./burst.ts"),
  history: () => import("./history.ts"),
  deliveries: () => import("./deliveries.ts"),
  jobs: () => import("./jobs.ts"),
  api: () => import("./api.ts"),
  nodes: () => import("./nodes.ts"),
  spawn: () => import("./spawn.ts"),
};
/** Seconds after which no round begins. */
const LIMIT = "170";

const [name = "help", ...args] = process.argv.slice(2);
const load = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
try {
  if (load === undefined) await list();
  else await run((await load()).benchmark);
} catch (error) {
  console.error(`The benchmark has failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
// A client that still waits for a stopped service must not hold up the end.
process.exit();

async function run(benchmark: Benchmark): Promise<void> {
  const given = {
    seconds: { value: `${benchmark.seconds}`, describe: "how long one turn of one row lasts" },
    rounds: { value: `${benchmark.rounds}`, describe: "how often each row has its turn" },
    limit: { value: LIMIT, describe: "seconds after which no round begins" },
    ...benchmark.options,
  };
  const options = Object.fromEntries(
    Object.entries(given).map(([option, { value }]) => [option, { type: "string", default: value } as const]),
  );
  const { values } = parseArgs({
    args,
    options: { ...options, json: { type: "string" }, help: { type: "boolean" } },
  });
  const { help, ...rest } = values;
  if (!help) return runBenchmark(name, benchmark, rest);
  const lines = Object.entries(given).map(
    ([option, { value, describe }]) => `  --${option.padEnd(12)} ${describe} (${value || "unset"})`,
  );
  console.log(
    `${name}: ${benchmark.summary}\n\n${lines.join("\n")}\n  --json FILE    also writes all figures`,
  );
}

async function list(): Promise<void> {
  const lines = Object.entries(BENCHMARKS).map(
    async ([title, open]) => `  ${title.padEnd(10)} ${(await open()).benchmark.summary}`,
  );
  console.log(`npm run bench -- NAME [options]\n\n${(await Promise.all(lines)).join("\n")}\n`);
  console.log("`npm run bench -- NAME --help` lists the options of one.");
  if (name !== "help") throw new Error(`there is no benchmark "${name}"`);
}
