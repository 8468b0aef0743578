/** Stops a worker (SIGSTOP) until its heartbeat lapses, then continues it: its late result must be refused. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { descendantsOf } from "../../test/support/process-search.ts";
import { type Campaign, type Findings, startNode, type World } from "./campaign.ts";
import { takeOver } from "./silent-worker.ts";

/** What is frozen, and what the command does in the meantime. */
export type Freeze = "worker" | "worker, whose command succeeds meanwhile" | "worker, runner and command";
const FREEZES: readonly Freeze[] = [
  "worker",
  "worker, whose command succeeds meanwhile",
  "worker, runner and command",
];

export const freeze: Campaign = {
  title: "SIGSTOP of a worker past its heartbeat, then SIGCONT",
  run: (world) => freezeOnce(world, FREEZES[world.seed % FREEZES.length] ?? "worker"),
};

export async function freezeOnce(world: World, what: Freeze): Promise<Findings> {
  const frozen: number[] = [];
  const fault = {
    start: () => startNode(world, "victim", { ROLES: "worker" }),
    async silence({ child: { pid } }: { child: { pid?: number | undefined } }) {
      if (pid === undefined) throw new Error("the worker is not there");
      frozen.push(pid);
      if (what === "worker, runner and command") frozen.push(...descendantsOf(pid));
      for (const one of frozen) signal(one, "SIGSTOP");
    },
    restore() {
      for (const one of frozen) signal(one, "SIGCONT");
    },
    freezesCommand: what === "worker, runner and command",
  };
  const work = what === "worker, whose command succeeds meanwhile" ? "succeeds meanwhile" : "goes on";
  return takeOver(world, fault, work, () => writeFile(join(world.folder, "silent"), ""));
}

/** Sends a signal, unless the process has already ended. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
