/** Decides whether the runner and its commands get a PID namespace of their own, and how one is made. */

import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { OperatorError } from "../errors.ts";
import { listProcesses, type ProcessEntry } from "./runner/processes.ts";
import { type LinkOptions, openRunnerLink } from "./runner-link.ts";

/** auto: only where it takes nothing away from commands (ADR 18). */
export type PidNamespace = "auto" | "on" | "off";

/** A first process that does nothing but reap what has lost its parent; Node in its place would not. */
const INIT = ["/bin/sh", "-c", '"$@"; exit $?', "carillon-init"];

/**
 * Answers what to put before the runner's command line: nothing, or what makes the namespace.
 * Throws OperatorError when it is wanted and the system refuses it.
 */
export async function choosePrefix(
  wanted: PidNamespace,
  options: Omit<LinkOptions, "prefix">,
  log: Logger,
): Promise<readonly string[]> {
  if (wanted === "off" || (wanted === "auto" && !takesNothingAway())) return [];
  const prefix = namespacePrefix(process.getuid?.() === 0);
  try {
    const trial = await openRunnerLink({ ...options, prefix, onLog: () => undefined });
    await trial.close();
    return prefix;
  } catch (error) {
    const refusal = error instanceof Error ? error.message : String(error);
    if (wanted === "on") {
      throw new OperatorError(`PID_NAMESPACE is on, and this system refuses it: ${refusal}. Set it to off.`);
    }
    log.info({ refusal }, "no PID namespace around the runner: the system refuses it");
    return [];
  }
}

function namespacePrefix(isRoot: boolean): string[] {
  const user = isRoot ? [] : ["--user", "--map-current-user"];
  // What is mounted outside is seen inside, and not the other way round: /proc is another one here.
  const mounts = ["--mount-proc", "--propagation", "slave"];
  return ["unshare", ...user, "--pid", "--fork", "--kill-child", ...mounts, "--", ...INIT];
}

/** Whether a namespace hides no process that a command can see now, and breaks no setuid program that works now. */
function takesNothingAway(): boolean {
  if (process.platform !== "linux" || process.getuid?.() === 0) return false;
  if (!/^NoNewPrivs:\s+1$/m.test(readFileSync("/proc/self/status", "utf8"))) return false;
  return areAllRelated(process.pid, listProcesses());
}

/** Whether every process is an ancestor or a descendant of `pid`, or that one itself. */
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
