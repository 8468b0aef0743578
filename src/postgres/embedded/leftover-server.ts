/** Stops the Postgres processes that a killed service left running on the cluster. */

import { execFile } from "node:child_process";
import { readdir, readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { OperatorError } from "../../errors.ts";
import { readPidFile } from "./cluster.ts";

const STOP_MS = 60_000;
const POLL_MS = 20;

/**
 * Stops the server on the cluster, and sessions whose server has died. The caller holds the lock of the data folder, so
 * no service uses these processes.
 *
 * @returns the process id in a leftover postmaster.pid, which belongs to no server
 * @throws OperatorError when a process still runs after a minute
 */
export async function stopLeftover(cluster: string): Promise<number | undefined> {
  const deadline = Date.now() + STOP_MS;
  for (;;) {
    const serverPid = Number((await readPidFile(cluster))?.[0]) || undefined;
    const running = await processesOn(cluster, serverPid);
    if (running.length === 0) return serverPid;
    if (Date.now() > deadline)
      throw new OperatorError(
        `Postgres processes on ${cluster} do not stop. End them: ${running.join(", ")}`,
      );
    const server = running.find((pid) => pid === serverPid);
    // A server ends its own sessions. Sessions without a server have nothing to save, so they quit at once.
    if (server !== undefined) signal(server, "SIGINT");
    else for (const pid of running) signal(pid, "SIGQUIT");
    await delay(POLL_MS);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // ESRCH: it has already exited
  }
}

/** Returns the Postgres processes on the cluster. An id proves nothing: after a reboot another process may have it. */
async function processesOn(cluster: string, serverPid: number | undefined): Promise<number[]> {
  if (process.platform !== "linux")
    return serverPid && (await wasStartedOn(serverPid, cluster)) ? [serverPid] : [];
  const pids = (await readdir("/proc")).map(Number).filter((pid) => pid > 0);
  const found = await Promise.all(pids.map((pid) => runsIn(pid, cluster)));
  return pids.filter((_, index) => found[index]);
}

/** Whether a process is a Postgres whose working directory is the cluster. A shell in that folder does not count. */
async function runsIn(pid: number, cluster: string): Promise<boolean> {
  try {
    const [folder, program] = await Promise.all(
      ["cwd", "exe"].map((link) => readlink(`/proc/${pid}/${link}`)),
    );
    return folder === cluster && /\/postgres( \(deleted\))?$/.test(program ?? "");
  } catch {
    return false; // it has exited, or belongs to another user and so is not ours
  }
}

/** The same for systems without /proc: looks for the cluster in the command line. */
async function wasStartedOn(pid: number, cluster: string): Promise<boolean> {
  const ps = promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)]);
  return ps.then(
    ({ stdout }) => stdout.includes(` -D ${cluster} `),
    () => false,
  );
}
