/** Decides whether the runner and its commands get their own PID namespace, and builds the command for it. */

import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { OperatorError } from "../errors.ts";
import { listProcesses, type ProcessEntry } from "./runner/processes.ts";
import { type RunnerProcessOptions, startRunnerProcess } from "./runner-process.ts";

/** auto: only where it takes no ability away from commands (docs/adr/0018). */
export type PidNamespace = "auto" | "on" | "off";

/** The first process of the namespace; it reaps orphans, which Node would not do. */
const INIT = ["/bin/sh", "-c", '"$@"; exit $?', "carillon-init"];

/**
 * Returns the words to put before the runner's command line; none without a namespace.
 * @throws OperatorError when `wanted` is `on` and the system refuses it
 */
export async function choosePrefix(
  wanted: PidNamespace,
  options: Omit<RunnerProcessOptions, "prefix">,
  log: Logger,
): Promise<readonly string[]> {
  if (wanted === "off" || (wanted === "auto" && !isHarmless())) return [];
  const prefix = namespacePrefix(process.getuid?.() === 0);
  try {
    const trial = await startRunnerProcess({ ...options, prefix, onLog: () => undefined });
    await trial.close();
    return prefix;
  } catch (error) {
    const refusal = error instanceof Error ? error.message : String(error);
    if (wanted === "on") {
      throw new OperatorError(`PID_NAMESPACE is on, but this system refuses it: ${refusal}. Set it to off.`);
    }
    log.info({ refusal }, "the runner has no PID namespace: the system refuses it");
    return [];
  }
}

function namespacePrefix(isRoot: boolean): string[] {
  const user = isRoot ? [] : ["--user", "--map-current-user"];
  // Mounts made outside become visible inside, but not the reverse, because /proc differs inside.
  const mounts = ["--mount-proc", "--propagation", "slave"];
  return ["unshare", ...user, "--pid", "--fork", "--kill-child", ...mounts, "--", ...INIT];
}

/** Whether a namespace would hide no process that commands see now, and break no setuid program that works now. */
function isHarmless(): boolean {
  if (process.platform !== "linux" || process.getuid?.() === 0) return false;
  if (!/^NoNewPrivs:\s+1$/m.test(readFileSync("/proc/self/status", "utf8"))) return false;
  return areAllRelated(process.pid, listProcesses());
}

/** Whether every process is `pid` itself, its ancestor or its descendant. */
export function areAllRelated(pid: number, processes: readonly ProcessEntry[]): boolean {
  const parents = new Map(processes.map((entry) => [entry.pid, entry.parent]));
  const line = (from: number) => {
    const pids: number[] = [];
    for (let at: number | undefined = from; at !== undefined; at = parents.get(at)) pids.push(at);
    return pids;
  };
  const ancestors = new Set(line(pid));
  return processes.every((entry) => ancestors.has(entry.pid) || line(entry.pid).includes(pid));
}
