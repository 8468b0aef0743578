/** Runs one benchmark: its options, the turns of its sides, progress, tables, JSON, and the end in time. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Bench, Benchmark, Figures, Result, Side } from "./benchmark.ts";
import { describeMachine, figure, markdownTable, quantile, spread } from "./machine.ts";

/** Values of the options by name, as the command line gave them. */
export type Values = Readonly<Record<string, string | undefined>>;

/** What `--json` writes. */
interface Report {
  benchmark: string;
  machine: string;
  startedAt: string;
  options: Values;
  tables: { title: string; rows: Result[] }[];
  notes: string[];
}

/** A benchmark that says nothing for so long (ms) hangs. */
const SILENCE_MS = 120_000;

/**
 * Runs a benchmark and prints its tables.
 * @throws an error when an option is wrong, when a side fails, or when nothing happens for two minutes
 */
export async function runBenchmark(name: string, benchmark: Benchmark, values: Values): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), "carillon-bench-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const report: Report = {
    benchmark: name,
    machine: describeMachine(),
    startedAt: new Date().toISOString(),
    ...{ options: values, tables: [], notes: [] },
  };
  console.log(report.machine);
  const over = Promise.withResolvers<never>();
  const watch = setTimeout(() => over.reject(new Error("nothing has happened for two minutes")), SILENCE_MS);
  stack.defer(() => clearTimeout(watch));
  const interrupt = () => over.reject(new Error("interrupted"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, interrupt);
  const bench = createBench(report, values, { stack, folder, alive: () => void watch.refresh() });
  await Promise.race([benchmark.run(bench), over.promise]);
  for (const note of report.notes) console.log(`${note}\n`);
  if (values["json"] !== undefined) await writeFile(values["json"], `${JSON.stringify(report, null, 2)}\n`);
}

interface Surroundings {
  stack: AsyncDisposableStack;
  folder: string;
  /** Called at each progress. */
  alive(): void;
}

function createBench(report: Report, values: Values, { stack, folder, alive }: Surroundings): Bench {
  const startedAt = performance.now();
  const text = (option: string) => values[option] ?? "";
  const numbers = (option: string) => text(option).split(",").map(numberOf(option));
  const number = (option: string) => numbers(option)[0] ?? Number.NaN;
  const limit = { seconds: number("limit") };
  const elapsed = () => (performance.now() - startedAt) / 1_000;
  const progress = (line: string) => {
    alive();
    process.stderr.write(`[${elapsed().toFixed(0).padStart(3)} s] ${line}\n`);
  };
  const [seconds, rounds] = [number("seconds"), number("rounds")];
  return {
    ...{ seconds, rounds, folder, stack, text, number, numbers, progress },
    extend: (more) => {
      limit.seconds += more;
    },
    takeTurns: (sides, { warmUp = true } = {}) =>
      takeTurns(sides, {
        seconds,
        rounds,
        warmUp: warmUp && rounds > 1,
        progress,
        isOver: () => elapsed() > limit.seconds,
      }),
    report(title, results) {
      report.tables.push({ title, rows: [...results] });
      console.log(`\n${title}\n\n${table(results)}\n`);
    },
    note: (note) => void report.notes.push(note),
  };
}

function numberOf(option: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text === "" || !Number.isFinite(value) || value < 0)
      throw new Error(`--${option}: "${text}" is not a number`);
    return value;
  };
}

interface Turns {
  seconds: number;
  rounds: number;
  warmUp: boolean;
  progress(line: string): void;
  isOver(): boolean;
}

async function takeTurns(sides: readonly Side[], turns: Turns): Promise<Result[]> {
  const { seconds, rounds, warmUp, progress } = turns;
  const results = sides.map(({ name, missing }): Result => ({ name, missing, rounds: [] }));
  for (let round = warmUp ? 0 : 1; round <= rounds; round++) {
    if (round > 1 && turns.isOver()) {
      progress(`the limit has come: ${round - 1} of ${rounds} rounds were measured (see --limit)`);
      break;
    }
    for (const [index, side] of sides.entries()) {
      if (side.missing !== undefined) continue;
      const figures = await side.measure(round === 0 ? Math.min(seconds, Math.max(1, seconds / 3)) : seconds);
      const label = round === 0 ? "warm-up" : `round ${round} of ${rounds}`;
      progress(`${label}, ${side.name}: ${Object.entries(figures).slice(0, 3).map(shown).join(", ")}`);
      if (round > 0) results[index]?.rounds.push(figures);
    }
  }
  return results;
}

function shown([title, value]: [string, number]): string {
  return `${title} ${figure(value)}`;
}

function table(results: readonly Result[]): string {
  const titles = [...new Set(results.flatMap(({ rounds }) => rounds.flatMap((round) => Object.keys(round))))];
  const cell = (rounds: readonly Figures[], title: string) =>
    spread(rounds.flatMap((round) => round[title] ?? []));
  const body = results.map(({ name, missing, rounds }) => [
    name,
    ...(missing === undefined ? titles.map((title) => cell(rounds, title)) : [missing]),
  ]);
  const count = quantile(
    results.filter(({ missing }) => missing === undefined).map(({ rounds }) => rounds.length),
    0.5,
  );
  return `${markdownTable([["", ...titles], ...body])}\n\nMedian (min..max) of ${count} rounds.`;
}
