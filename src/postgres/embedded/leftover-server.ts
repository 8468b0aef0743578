/** Ends what a killed service left running on the files of the embedded Postgres. */

import { execFile } from "node:child_process";
import { readdir, readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { OperatorError } from "../../errors.ts";
import { readPidFile } from "./cluster.ts";

const STOP_MS = 60_000;
const POLL_MS = 20;

/**
 * Stops the server on the files, and sessions that outlived theirs. The caller holds the lock of the data folder:
 * whatever runs there has no service.
 *
 * @returns the process id that postmaster.pid still names though no server has it
 * @throws if something goes on for a minute
 */
export async function stopLeftover(cluster: string): Promise<number | undefined> {
  const deadline = Date.now() + STOP_MS;
  for (;;) {
    const named = Number((await readPidFile(cluster))?.[0]) || undefined;
    const running = await processesOn(cluster, named);
    if (running.length === 0) return named;
    if (Date.now() > deadline)
      throw new OperatorError(`Postgres processes on ${cluster} do not stop: end ${running}`);
    const server = running.find((pid) => pid === named);
    // A server takes its sessions with it. Without one they have nobody to save anything for.
    if (server !== undefined) signal(server, "SIGINT");
    else for (const pid of running) signal(pid, "SIGQUIT");
    await delay(POLL_MS);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // else it is gone already
  }
}

/** What of Postgres runs on the files. An id alone tells nothing: after a reboot it may be anybody's. */
async function processesOn(cluster: string, named: number | undefined): Promise<number[]> {
  if (process.platform !== "linux") return named && (await wasStartedOn(named, cluster)) ? [named] : [];
  const pids = (await readdir("/proc")).map(Number).filter((pid) => pid > 0);
  const found = await Promise.all(pids.map((pid) => runsIn(pid, cluster)));
  return pids.filter((_, index) => found[index]);
}

/** Postgres lives in its folder; the shell of somebody who looks around in there is not meant. */
async function runsIn(pid: number, cluster: string): Promise<boolean> {
  try {
    const [folder, program] = await Promise.all(
      ["cwd", "exe"].map((link) => readlink(`/proc/${pid}/${link}`)),
    );
    return folder === cluster && /\/postgres( \(deleted\))?$/.test(program ?? "");
  } catch {
    return false; // ended meanwhile, or another user's, hence not ours
  }
}

/** The same for systems that do not tell where a process is. */
async function wasStartedOn(pid: number, cluster: string): Promise<boolean> {
  const ps = promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)]);
  return ps.then(
    ({ stdout }) => stdout.includes(` -D ${cluster} `),
    () => false,
  );
}
