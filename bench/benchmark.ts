/** Defines what a benchmark is, and what the harness gives it. */

/** One figure per title with its unit, such as `runs/s` or `ack p50 (ms)`. */
export type Figures = Readonly<Record<string, number>>;

/** One of the things that a benchmark compares: a row of its table. */
export interface Side {
  name: string;
  /** Why the side is left out. It stays in the table as an empty row. */
  missing?: string | undefined;
  /** Measures for about `seconds`. */
  measure(seconds: number): Promise<Figures>;
}

/** The figures of one side, one entry per round. */
export interface Result {
  name: string;
  missing?: string | undefined;
  rounds: Figures[];
}

/** An option of one benchmark. Its value is text: a number, or numbers with commas between them. */
export interface Option {
  value: string;
  describe: string;
}

/** What a benchmark works with while it runs. */
export interface Bench {
  /** How long one turn of one side lasts. */
  seconds: number;
  /** How often each side has its turn. */
  rounds: number;
  /** A folder of this run. It is removed at the end. */
  folder: string;
  /** What is closed at the end, in reverse order, also after an error or Ctrl-C. */
  stack: AsyncDisposableStack;
  text(option: string): string;
  number(option: string): number;
  /** The numbers of a list such as `1,16`. */
  numbers(option: string): number[];
  /** Says on standard error how far the benchmark is. A benchmark that says nothing for two minutes is ended. */
  progress(text: string): void;
  /** Gives the preparation this many seconds more before the limit stops the rounds. */
  extend(seconds: number): void;
  /**
   * Measures all sides in turns, so that other load on the machine affects all of them alike. The first turns are
   * shorter and do not count: code is compiled and caches fill. With a single round there are none. No round begins
   * after the limit.
   */
  takeTurns(sides: readonly Side[], options?: { warmUp?: boolean }): Promise<Result[]>;
  /** Prints a table with the median and the spread of each figure, and keeps it for the JSON. */
  report(title: string, results: readonly Result[]): void;
  /** Prints a remark below the tables, and keeps it for the JSON. */
  note(text: string): void;
}

/** A benchmark, as its file exports it. */
export interface Benchmark {
  /** What it measures, for the list of benchmarks. */
  summary: string;
  seconds: number;
  rounds: number;
  options: Readonly<Record<string, Option>>;
  run(bench: Bench): Promise<void>;
}
