/** Reads which processes there are from /proc, and signals exactly the one that was meant. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";

/** One process for good: a pid comes again, pid and start time (clock ticks since the machine started) do not. */
export interface ProcessId {
  pid: number;
  startTime: number;
}

export interface ProcessEntry extends ProcessId {
  parent: number;
  group: number;
  session: number;
  /** Dead, but not reaped by its parent. */
  zombie: boolean;
}

/** Where pids mean what they say: this start of this machine, in this PID namespace. */
export interface PidSpace {
  bootId: string;
  namespace: string;
}

/** proc_pid_stat(5) has 52 numbers and a name of at most 64 bytes. */
const statBuffer = Buffer.allocUnsafeSlow(2_048);
/** Of the processes that were read lately. */
const startTimes = new Map<number, number>();
/** Of those that were seen dead: some wait long for somebody to reap them. */
const dead = new Map<number, number>();
const OLD_FOR_MS = 1_000;
let oldUntil = 0;
/** The pid of the process that all kernel threads are children of. */
const KERNEL = 2;

/** Says where we are; undefined where there is no /proc. */
export function pidSpace(): PidSpace | undefined {
  try {
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return { bootId, namespace: readlinkSync("/proc/self/ns/pid") };
  } catch {
    return undefined;
  }
}

/**
 * All processes that started at `notBefore` (clock ticks since the machine started) or later, but those of the
 * kernel; none where there is no /proc. Those that are older are not read again for a second: a pid takes longer
 * than that to come again.
 * @param onMissed called for each that ended before it was read: what it may have started is not seen either
 */
export function listProcesses(notBefore = 0, onMissed: () => void = () => undefined): ProcessEntry[] {
  if (process.platform !== "linux") return [];
  if (performance.now() > oldUntil) {
    startTimes.clear();
    dead.clear();
    oldUntil = performance.now() + OLD_FOR_MS;
  }
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!(pid > 0) || (startTimes.get(pid) ?? notBefore) < notBefore) continue;
    const entry = readProcess(pid);
    if (entry === undefined || diedUnseen(entry)) onMissed();
    if (entry === undefined) continue;
    startTimes.set(pid, entry.startTime);
    // In a PID namespace of our own 2 is a pid like any other: there the kernel has none.
    const ofKernel = entry.session === 0 && (pid === KERNEL || entry.parent === KERNEL);
    if (entry.startTime >= notBefore && !ofKernel) entries.push(entry);
  }
  return entries;
}

/** Says of each dead process once that it may have lived, and started others, when the list was made. */
function diedUnseen({ pid, startTime, zombie }: ProcessEntry): boolean {
  if (!zombie || dead.get(pid) === startTime) return false;
  dead.set(pid, startTime);
  return true;
}

/** Undefined when there is no such process, or no /proc. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readStat(pid);
  // The name, in parentheses, may hold anything.
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
    zombie: state === "Z" || state === "X",
  };
}

/**
 * The environment that a process was started with, as `NAME=value`; empty when we may not read it. Undefined when
 * that cannot be told: a process that is becoming another program has, for that moment, neither environment nor
 * command line, and one that has just ended has none any more.
 */
export function environmentOf(pid: number): Set<string> | undefined {
  const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, "utf8");
  try {
    // Between the two looks at the first it may have become what it is.
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

/** Signals a process unless its pid is somebody else's by now; says whether it was there and ours to signal. */
export function signalProcess({ pid, startTime }: ProcessId, signal: NodeJS.Signals): boolean {
  const now = readProcess(pid);
  if (now === undefined || now.startTime !== startTime || now.zombie) return false;
  try {
    return process.kill(pid, signal);
  } catch {
    // It has just ended, or belongs to another user, as what `sudo` starts does.
    return false;
  }
}

/** Says whether exactly this process lives. */
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
    // It ended after the folder was listed.
    return "";
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Says whether the group had a member that we could signal; signal 0 only asks. */
export function signalGroup(groupId: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-groupId, signal);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // EPERM: all that is left belongs to another user, as what `sudo` starts does.
    if (code === "ESRCH" || code === "EPERM") return false;
    throw error;
  }
}

/**
 * Says whether the group has a living member that we could signal. Zombies do not count: a container whose
 * first process reaps no orphans keeps them for ever, and the kernel answers for them as for the living.
 */
export function groupIsAlive(groupId: number): boolean {
  return signalGroup(groupId, 0) && !hasOnlyZombies(groupId);
}

function hasOnlyZombies(groupId: number): boolean {
  if (process.platform !== "linux") return false;
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return !pids.some((pid) => {
    // proc_pid_stat(5): pid (name) state parent group ...; the name may hold anything.
    const stat = statText(pid);
    const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return group === `${groupId}` && state !== "Z" && state !== "X";
  });
}

function statText(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // It ended after the folder was listed.
    return "";
  }
}
