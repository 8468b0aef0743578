/** Compares the runner with a plain spawn and with the limit of the machine, side by side in one run. */
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { describeMachine, markdownTable, quantile, spread } from "./machine.ts";
import { type Batch, type BatchOrder, COMMAND, type HostKind } from "./spawn-host.ts";

/** One row of the table. */
interface Row {
  name: string;
  /** The reason why the row stays empty. */
  missing?: string;
  run(order: BatchOrder): Promise<Batch>;
  close(): void;
}

const REPEATS = 5;
const BATCH_MS = 2_000;
const IN_FLIGHT = [1, 10];
const NAMES: Record<HostKind, string> = {
  runner: "runner, told by the service",
  service: "plain spawn in the service (Prisma, Fastify)",
  bare: "plain spawn in a bare Node process",
};

const run = promisify(execFile);

/** Prints runs per second and the blocked time of the event loop, for each way to start a command. */
export async function benchSpawn(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), "carillon-bench-"));
  const rows: Row[] = [];
  try {
    for (const kind of ["runner", "service", "bare"] as const) rows.push(await openHost(kind, folder));
    rows.push(await compileCeiling(folder));
    const batches = await measure(rows);
    console.log(`${describeMachine()}\n${COMMAND.slice(0, 2).join(" ")} '${COMMAND[2]}', output read.`);
    console.log(`Median (min..max) of ${REPEATS} repeats that take turns, ${BATCH_MS / 1_000} s each.\n`);
    console.log(markdownTable([head(), ...rows.map((row) => cells(row, batches.get(row) ?? []))]));
  } finally {
    for (const row of rows) row.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Measures the rows in turns, so that other load on the machine affects all of them alike. */
async function measure(rows: readonly Row[]): Promise<Map<Row, Batch[][]>> {
  const present = rows.filter(({ missing }) => missing === undefined);
  const batches = new Map(present.map((row) => [row, IN_FLIGHT.map((): Batch[] => [])]));
  for (const row of present) await row.run({ inFlight: 10, forMs: 200 });
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    for (const [row, columns] of batches) {
      for (const [column, inFlight] of IN_FLIGHT.entries()) {
        columns[column]?.push(await row.run({ inFlight, forMs: BATCH_MS }));
      }
    }
  }
  return batches;
}

function head(): string[] {
  const rates = IN_FLIGHT.map((inFlight) => `runs/s, ${inFlight} in flight`);
  return ["", ...rates, `loop blocked, ${IN_FLIGHT.at(-1)} in flight: p50`, "p99"];
}

function cells({ name, missing }: Row, columns: readonly Batch[][]): string[] {
  if (missing !== undefined) return [name, missing];
  const rates = columns.map((batches) => spread(batches.map(({ perSecond }) => perSecond)));
  const blocked = columns.at(-1)?.flatMap(({ blockedMs }) => blockedMs) ?? [];
  return [name, ...rates, ...[0.5, 0.99].map((share) => milliseconds(quantile(blocked, share)))];
}

function milliseconds(value: number): string {
  return Number.isNaN(value) ? "" : `${value.toFixed(2)} ms`;
}

async function openHost(kind: HostKind, folder: string): Promise<Row> {
  const host = fork(path.join(import.meta.dirname, "spawn-host.ts"), [kind, path.join(folder, "runners")]);
  const gone = once(host, "exit").then(() => Promise.reject(new Error("a process that measures has ended")));
  gone.catch(() => undefined);
  const answer = () => Promise.race([once(host, "message"), gone]).then(([batch]) => batch);
  await answer();
  return {
    name: NAMES[kind],
    run(order) {
      host.send(order);
      return answer();
    },
    close: () => void (host.connected && host.disconnect()),
  };
}

async function compileCeiling(folder: string): Promise<Row> {
  const program = path.join(folder, "ceiling");
  const row = { name: "C, posix_spawn", close: () => undefined };
  const source = path.join(import.meta.dirname, "spawn-ceiling.c");
  const problem = await run("cc", ["-O2", "-o", program, source]).catch((error: Error) => error);
  if (problem instanceof Error) {
    const [reason] = problem.message.split("\n");
    return { ...row, missing: `not measured: ${reason}`, run: () => Promise.reject(problem) };
  }
  return {
    ...row,
    async run({ inFlight, forMs }) {
      const { stdout } = await run(program, [`${inFlight}`, `${forMs}`, ...COMMAND]);
      return { perSecond: Number(stdout), blockedMs: [] };
    },
  };
}
