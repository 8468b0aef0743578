/** Runs one of the benchmarks: `npm run bench -- spawn`. */

interface Benchmark {
  summary: string;
  /** Prints its table. */
  run(): Promise<void>;
}

const BENCHMARKS: Record<string, Benchmark> = {
  spawn: {
    summary: "how many commands a second can be started, and what that does to the service (2 minutes)",
    run: async () => (await import("./spawn.ts")).benchSpawn(),
  },
  burst: {
    summary: "how late the runs of 1,000 and 10,000 jobs due on one second are made (5 minutes)",
    run: async () => (await import("./burst.ts")).benchBurst(),
  },
};

const [wanted = "help"] = process.argv.slice(2);
const benchmark = Object.hasOwn(BENCHMARKS, wanted) ? BENCHMARKS[wanted] : undefined;
if (benchmark !== undefined) await benchmark.run();
else {
  const list = Object.entries(BENCHMARKS).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}\n`);
  process.stdout.write(`npm run bench -- <benchmark>\n\n${list.join("")}`);
  if (wanted !== "help") {
    process.stderr.write(`\nThere is no benchmark "${wanted}".\n`);
    process.exitCode = 1;
  }
}
