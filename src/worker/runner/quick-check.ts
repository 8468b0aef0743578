/** Finds out quickly, without reading all of /proc, that a short command has left no process behind. */
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { membersOf, type ProcessTree } from "./process-tree.ts";
import { environmentOf, type ProcessId, readProcess } from "./processes.ts";

/** No machine starts more processes and threads than this per core in one ms: a tight loop of clone(2) made 43. */
const MOST_FORKS_PER_MS = 60;
/** With more pids to look at, a scan of /proc costs less. */
const MOST_PIDS = 400;
/** How often the pids that were given away meanwhile are looked at. */
const MAX_ROUNDS = 8;

/**
 * Whether surely no process of an ended command is left; false means that it is not known. The kernel gives pids away
 * in ascending order, so the processes of the command are among those that got a pid after its root. When no pid was
 * given away during the look, none of them can have started another one unseen.
 * @param ageMs time since the root was started
 * @param isRoot whether a pid is the root of another command, which is none of these processes
 */
export function hasLeftNothing(
  tree: ProcessTree & { root: ProcessId },
  ageMs: number,
  isRoot: (pid: number) => boolean,
): boolean {
  // In this time the pids may have begun again from 1.
  if (ageMs * MOST_FORKS_PER_MS * CORES > PID_MAX) return false;
  let seen = tree.root.pid;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const last = lastPid();
    if (last === undefined || last < seen || last - tree.root.pid > MOST_PIDS) return false;
    if (last === seen) return true;
    for (let pid = seen + 1; pid <= last; pid++) if (!isRoot(pid) && mayBelong(pid, tree)) return false;
    seen = last;
  }
  return false;
}

function mayBelong(pid: number, tree: ProcessTree): boolean {
  if (pid === process.pid || !existsSync(`/proc/${pid}`)) return false;
  const entry = readProcess(pid);
  // It has ended meanwhile; what it may have started has a later pid.
  if (entry === undefined || entry.zombie) return false;
  let isKnown = true;
  const environment = () => {
    const read = environmentOf(pid);
    isKnown &&= read !== undefined;
    return read;
  };
  return membersOf(tree, { processes: [entry], environment }).length > 0 || !isKnown;
}

/** All cores of the machine, not only those that this process may use: they share the pids. */
const CORES = cpus().length;
const PID_MAX = Number(read("/proc/sys/kernel/pid_max") ?? 0);

/** The pid that was given away last, in our PID namespace; undefined without /proc. */
function lastPid(): number | undefined {
  // proc_loadavg(5): the fifth field.
  const pid = Number(read("/proc/loadavg")?.trim().split(" ")[4]);
  return pid > 0 ? pid : undefined;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return undefined;
  }
}
