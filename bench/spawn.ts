/** Compares the runner with a plain spawn and with the limit of the machine, side by side in one run. */
import path from "node:path";
import type { Bench, Benchmark, Side } from "./benchmark.ts";
import { compileCeiling } from "./ceiling.ts";
import { percentiles } from "./machine.ts";
import { openHost } from "./measuring-host.ts";
import { type Batch, type BatchOrder, COMMAND, type HostKind } from "./spawn-host.ts";

export const benchmark: Benchmark = {
  summary: "commands started a second, and what that does to the caller: runner, plain spawn, C",
  seconds: 2,
  rounds: 5,
  options: { "in-flight": { value: "1,10", describe: "commands in flight" } },
  run,
};

const NAMES: Record<HostKind, string> = {
  runner: "runner, told by the service",
  service: "plain spawn in the service (Prisma, Fastify)",
  bare: "plain spawn in a bare Node process",
};

async function run(bench: Bench): Promise<void> {
  const inFlight = bench.numbers("in-flight");
  const sides: Side[] = [];
  for (const kind of ["runner", "service", "bare"] as const)
    sides.push(...(await hostSides(bench, kind, inFlight)));
  const ceiling = await compileCeiling(bench.folder);
  for (const lanes of inFlight) {
    const name = `C, posix_spawn, ${lanes} in flight`;
    if (typeof ceiling === "function")
      sides.push({
        name,
        measure: async (seconds) => ({ "runs/s": await ceiling(lanes, seconds, COMMAND) }),
      });
    else sides.push({ name, ...ceiling, measure: () => Promise.reject(new Error(name)) });
  }
  bench.report(`${COMMAND.slice(0, 2).join(" ")} '${COMMAND[2]}', output read`, await bench.takeTurns(sides));
  bench.note("loop blocked: from the start of a command until the event loop of the caller is free again.");
}

async function hostSides(bench: Bench, kind: HostKind, inFlight: readonly number[]): Promise<Side[]> {
  const args = [kind, path.join(bench.folder, "runners")];
  const host = bench.stack.use(await openHost<BatchOrder, Batch>("spawn-host.ts", args));
  return inFlight.map((lanes) => ({
    name: `${NAMES[kind]}, ${lanes} in flight`,
    async measure(seconds) {
      const { perSecond, blockedMs } = await host.ask({ inFlight: lanes, forMs: seconds * 1_000 });
      return { "runs/s": perSecond, ...percentiles("loop blocked", blockedMs) };
    },
  }));
}
