/** Finds processes (Linux) that a test has caused, wherever they went: by what stands in their command line or environment, or by descent. */
import { readdirSync, readFileSync } from "node:fs";

/** Pids of the living processes that have all the marks; those that have ended and are not reaped do not count. */
export function processesWith(...marks: string[]): number[] {
  return pids().filter((pid) => {
    const text = `${read(pid, "cmdline")}\n${read(pid, "environ")}`;
    return pid !== process.pid && marks.every((mark) => text.includes(mark)) && isAlive(pid);
  });
}

/** Pids of what a process has started, and what that has started, and so on. */
export function descendantsOf(ancestor: number): number[] {
  const children = Map.groupBy(pids(), (pid) => Number(stateAndParent(pid)[1]));
  const below = (parent: number): number[] =>
    (children.get(parent) ?? []).flatMap((pid) => [pid, ...below(pid)]);
  return below(ancestor);
}

function pids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function isAlive(pid: number): boolean {
  return !["Z", "X", undefined].includes(stateAndParent(pid)[0]);
}

/** After proc_pid_stat(5); the name before them may hold anything. */
function stateAndParent(pid: number): string[] {
  const stat = read(pid, "stat");
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Empty for a process that has ended meanwhile. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}
