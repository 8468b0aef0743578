/** Tests that every benchmark runs and prints its rows, with the smallest sizes; how fast anything is does not matter. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import pLimit from "p-limit";
import { describe, expect, inject, it } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

const MAIN = join(import.meta.dirname, "../../bench/main.ts");
const QUICK = ["--rounds", "1", "--seconds", "0.2"];
const PATIENCE_MS = 90_000;
/** They wait for each other. */
const ALL_MS = 300_000;

interface Smoke {
  name: string;
  options?: string[];
  /** The beginnings of its rows. */
  rows: string[];
}

/** Benchmarks that start their own Postgres, or need none, and wait most of the time. */
const ALONE: Smoke[] = [
  {
    name: "runs",
    options: ["--in-flight", "2"],
    rows: [
      "Carillon, embedded Postgres, 2 in flight",
      "pg-boss + spawn, embedded Postgres",
      "C, posix_spawn, 2",
    ],
  },
  {
    name: "burst",
    options: ["--jobs", "5", "--period", "4", "--schedulers", "1"],
    rows: ["Carillon, 5 jobs: run committed", "node-cron, 5 tasks: task called", "5 jobs, two workers"],
  },
  {
    name: "spawn",
    options: ["--in-flight", "1"],
    rows: [
      "runner, told by the service",
      "plain spawn in the service",
      "plain spawn in a bare",
      "C, posix_spawn",
    ],
  },
];

/** Benchmarks that use the Postgres of the tests. */
const SHARED: Smoke[] = [
  { name: "latency", options: ["--rate", "20"], rows: ["one at a time", "20 triggers/s"] },
  { name: "chain", options: ["--length", "2", "--in-flight", "2"], rows: ["2 in flight"] },
  {
    name: "history",
    options: ["--rows", "300", "--requests", "1"],
    rows: ["/runs", "/runs?status=77", "/jobs/{name}/runs?cursor=MIDDLE", "/deliveries?run=ID", "/stats"],
  },
  {
    name: "deliveries",
    options: ["--waiting", "5"],
    rows: [
      "as many as it can, one host",
      "as many as it can, 9 hosts",
      "45 deliveries/s",
      "the same, 5 waiting",
    ],
  },
  { name: "jobs", options: ["--sizes", "5"], rows: ["5 jobs"] },
  {
    name: "api",
    options: ["--connections", "2"],
    rows: ["Carillon, outside Postgres, 2", "bare Fastify + zod, 2"],
  },
  {
    name: "nodes",
    options: ["--workers", "2", "--backlog", "8", "--concurrency", "1"],
    rows: ["2 worker processes"],
  },
];

/** Runs a benchmark. */
function bench(args: readonly string[], databaseUrl = "") {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const env = { PATH, NODE_COMPILE_CACHE, DATABASE_URL: databaseUrl, DAGU: "/nowhere" };
  return promisify(execFile)(process.execPath, [MAIN, ...args], { env, timeout: PATIENCE_MS });
}

async function check({ name, options = [], rows }: Smoke, databaseUrl?: string): Promise<void> {
  await using folder = await temporaryFolder();
  const file = join(folder.path, "figures.json");
  const { stdout, stderr } = await bench([name, ...QUICK, "--json", file, ...options], databaseUrl);
  const printed = [...stdout.matchAll(/^\| ([^\s-].*?) +\|/gm)].map(([, row = ""]) => row);
  expect(rows.filter((row) => !printed.some((one) => one.startsWith(row)))).toEqual([]);
  expect(stderr).toContain("round 1 of 1");
  const { machine, tables } = JSON.parse(await readFile(file, "utf8"));
  expect(stdout).toContain(machine);
  const written = tables.flatMap((table: { rows: { name: string }[] }) => table.rows.map(({ name }) => name));
  expect(written).toEqual(printed);
}

// They take a minute. A suite that runs twice, as in CI, has shown them on its embedded Postgres.
const isSecondPass = Boolean(process.env["DATABASE_URL"] && process.env["CI"]);

describe.skipIf(isSecondPass)("npm run bench (in CI on the embedded Postgres only)", () => {
  // One of each kind at a time: the first kind waits while the second kind works.
  const [alone, shared] = [pLimit(1), pLimit(1)];
  const title = "$name prints its rows and writes them as JSON";
  it.concurrent.each(ALONE)(title, { timeout: ALL_MS }, (smoke) => alone(() => check(smoke)));
  it.concurrent.each(SHARED)(title, { timeout: ALL_MS }, (smoke) =>
    shared(() => check(smoke, inject("postgres").server)),
  );

  it("refuses a benchmark that does not exist, an unknown option and an amount that is no number", async () => {
    const failures = [["speed"], ["runs", "--fast", "1"], ["latency", "--rounds", "many"]].map((args) =>
      bench(args),
    );
    const [name, option, amount] = await Promise.allSettled(failures);
    expect(name).toMatchObject({
      reason: { code: 1, stderr: expect.stringContaining('no benchmark "speed"') },
    });
    expect(option).toMatchObject({ reason: { code: 1, stderr: expect.stringContaining("--fast") } });
    const wrong = expect.stringContaining('--rounds: "many" is not a number');
    expect(amount).toMatchObject({ reason: { code: 1, stderr: wrong } });
  });
});
