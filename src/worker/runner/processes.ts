/** Reads the process table from /proc, and signals a process only if its pid still means the same one. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";

/** Identifies one process for ever: a pid is reused, but never with the same start time. */
export interface ProcessId {
  pid: number;
  /** Clock ticks since the machine started; 0 where the system does not say. */
  startTime: number;
}

export interface ProcessEntry extends ProcessId {
  parent: number;
  group: number;
  session: number;
  /** Dead, but not yet reaped by its parent. */
  zombie: boolean;
}

/** Where pids are valid: one boot of one machine, in one PID namespace. */
export interface PidSpace {
  bootId: string;
  namespace: string;
}

/** proc_pid_stat(5) has 52 numbers and a name of at most 64 bytes. */
const statBuffer = Buffer.allocUnsafeSlow(2_048);
/** Start times by pid, of processes read recently. */
const startTimes = new Map<number, number>();
/** Start times by pid, of zombies already seen: some wait long for their parent. */
const dead = new Map<number, number>();
const CACHE_MS = 1_000;
let cachedUntil = 0;
/** The pid of kthreadd, the parent of all kernel threads. */
const KERNEL = 2;

/** Returns the pid space of this process; undefined without /proc. */
export function pidSpace(): PidSpace | undefined {
  try {
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return { bootId, namespace: readlinkSync("/proc/self/ns/pid") };
  } catch {
    return undefined;
  }
}

/**
 * Lists the processes that started at `notBefore` (clock ticks since the machine started) or later, without kernel
 * threads; none without /proc. Older processes are not read again for a second, because no pid is reused that soon.
 * @param onMissed called for each process that ended before it was read; its children may be missing from the list
 */
export function listProcesses(notBefore = 0, onMissed: () => void = () => undefined): ProcessEntry[] {
  if (process.platform !== "linux") return [];
  if (performance.now() > cachedUntil) {
    startTimes.clear();
    dead.clear();
    cachedUntil = performance.now() + CACHE_MS;
  }
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!(pid > 0) || (startTimes.get(pid) ?? notBefore) < notBefore) continue;
    const entry = readProcess(pid);
    if (entry === undefined || diedUnseen(entry)) onMissed();
    if (entry === undefined) continue;
    startTimes.set(pid, entry.startTime);
    // In our own PID namespace 2 is an ordinary pid, and there are no kernel threads.
    const ofKernel = entry.session === 0 && (pid === KERNEL || entry.parent === KERNEL);
    if (entry.startTime >= notBefore && !ofKernel) entries.push(entry);
  }
  return entries;
}

/** True once for each zombie: it may have been alive, and started others, when /proc was listed. */
function diedUnseen({ pid, startTime, zombie }: ProcessEntry): boolean {
  if (!zombie || dead.get(pid) === startTime) return false;
  dead.set(pid, startTime);
  return true;
}

/** Reads one process; undefined when there is none, or no /proc. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readStat(pid);
  // The name, in parentheses, may contain anything, even parentheses and spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, parent, group, session] = fields;
  const startTime = fields[19];
  if (startTime === undefined) return undefined;
  return {
    pid,
    startTime: Number(startTime),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    // While other threads live, a process whose first thread has ended is shown as a zombie, too.
    zombie: (state === "Z" || state === "X") && Number(fields[17]) <= 1,
  };
}

/** Returns the children that a process has now; none where the kernel does not list them (CONFIG_PROC_CHILDREN). */
export function childrenOf(pid: number): ProcessEntry[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8"));
    const pids = lists.flatMap((list) => list.split(" ").filter(Boolean).map(Number));
    return pids.flatMap((child) => readProcess(child) ?? []);
  } catch {
    // The process has ended, or the kernel has no such file; the next scan finds what there is.
    return [];
  }
}

/**
 * Reads the initial environment of a process as `NAME=value`; empty when we may not read it. Undefined when it cannot
 * be known: during exec a process briefly has neither environment nor command line, and an ended one has none.
 */
export function environmentOf(pid: number): Set<string> | undefined {
  const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, "utf8");
  try {
    // The exec may have finished between the first read and this one.
    const environment = read("environ") || (read("cmdline") && read("environ"));
    if (environment === "" && read("cmdline") === "") return undefined;
    return new Set(environment.split("\0"));
  } catch (error) {
    return isRefusal(error) ? new Set() : undefined;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EACCES" || error.code === "EPERM");
}

/** Signals a process unless its pid was reused; returns whether it was alive and we were allowed to signal it. */
export function signalProcess({ pid, startTime }: ProcessId, signal: NodeJS.Signals): boolean {
  const now = readProcess(pid);
  if (now === undefined || now.startTime !== startTime || now.zombie) return false;
  try {
    return process.kill(pid, signal);
  } catch {
    // It has just ended, or belongs to another user, as with `sudo`.
    return false;
  }
}

/** Whether exactly this process is alive. */
export function isAlive({ pid, startTime }: ProcessId): boolean {
  const now = readProcess(pid);
  return now !== undefined && now.startTime === startTime && !now.zombie;
}

function readStat(pid: number): string {
  let fd: number | undefined;
  try {
    fd = openSync(`/proc/${pid}/stat`, "r");
    return statBuffer.toString("latin1", 0, readSync(fd, statBuffer));
  } catch {
    // The process ended after the folder was listed.
    return "";
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Signals a process group; returns whether it had a member that we may signal. Signal 0 only asks. */
export function signalGroup(groupId: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-groupId, signal);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // EPERM: all remaining members belong to another user, as with `sudo`.
    if (code === "ESRCH" || code === "EPERM") return false;
    throw error;
  }
}

/**
 * Whether the group has a living member that we may signal. Zombies do not count: in a container whose first process
 * does not reap orphans they stay for ever, and the kernel treats them like living members.
 */
export function groupIsAlive(groupId: number): boolean {
  if (!signalGroup(groupId, 0)) return false;
  if (process.platform !== "linux") return true;
  return readdirSync("/proc").some((name) => {
    const entry = Number(name) > 0 ? readProcess(Number(name)) : undefined;
    return entry?.group === groupId && !entry.zombie;
  });
}
