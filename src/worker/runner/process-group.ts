/** Signals a process group and finds out whether anybody in it is still alive. */
import { readdirSync, readFileSync } from "node:fs";

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
    const stat = readStat(pid);
    const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return group === `${groupId}` && state !== "Z" && state !== "X";
  });
}

function readStat(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // It ended after the folder was listed.
    return "";
  }
}
