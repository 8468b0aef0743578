/** Reads from /proc (Linux) how much processor time and memory the processes of a service have used. */
import { readFileSync } from "node:fs";

/** Clock ticks of /proc are 10 ms on every Linux that Node supports. */
const TICK_MS = 10;

/** The processor time (ms) that a process has used so far, its children not included. 0 if it is gone. */
export function processorTime(pid: number): number {
  const [user = 0, system = 0] = stat(pid).slice(11, 13).map(Number);
  return (user + system) * TICK_MS;
}

/** The sum over processes. A process that has ended in the meantime counts as 0. */
export function processorTimes(pids: Iterable<number>): number {
  return [...pids].reduce((sum, pid) => sum + processorTime(pid), 0);
}

/** The memory of a process (VmRSS) in MB. NaN where there is no /proc. */
export function memoryOf(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(read(pid, "status"))?.[1];
  return kilobytes === undefined ? Number.NaN : Number(kilobytes) / 1_024;
}

/** The command line of a process; empty if it is gone. */
export function commandLine(pid: number): string {
  return read(pid, "cmdline").replaceAll("\0", " ");
}

/** The fields after the name, which may hold anything. */
function stat(pid: number): string[] {
  const text = read(pid, "stat");
  return text === "" ? [] : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}
