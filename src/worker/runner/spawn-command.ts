/** Starts one process in a group of its own, with stdout and stderr on one pipe. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readFileSync } from "node:fs";
import { constants, userInfo } from "node:os";
import type { ProcessEnd, StartOrder } from "./frames.ts";
import { takeOutputPipe } from "./output-pipe.ts";

/** A process that runs. */
export interface Spawned {
  /** Also the id of its process group and session. */
  pid: number;
  /** The read end of its output; the caller closes it. */
  readFd: number;
  /** Resolves once the process has been reaped; never rejects. */
  ended: Promise<ProcessEnd>;
}

/**
 * Starts a command: a text through `/bin/sh -c`, a list as it is. stdin is `/dev/null`.
 * Rejects with the error of `spawn` or of making the pipe when it cannot be started.
 *
 * Node reports death by a real-time signal (34 to 64) as exit code 0, and so do we.
 */
export async function spawnCommand({ command, env, cwd, user }: StartOrder): Promise<Spawned> {
  const [file, ...args] = command.kind === "shell" ? ["/bin/sh", "-c", command.text] : command.argv;
  if (file === undefined) throw new Error("the command is an empty list");
  const account: Account = user === undefined ? { env: {} } : accountOf(user);
  const options = { ...account.ids, env: { ...account.env, ...env }, cwd, detached: true };
  const { readFd, writeFd } = takeOutputPipe();
  let child: ChildProcess;
  try {
    child = spawn(file, args, { ...options, stdio: ["ignore", writeFd, writeFd] });
  } catch (error) {
    closeSync(readFd);
    throw error;
  } finally {
    // The output ends only when nobody holds this end.
    closeSync(writeFd);
  }
  // Some failures are thrown; the others give a child without a pid that emits `error`.
  if (child.pid !== undefined) return { pid: child.pid, readFd, ended: endOf(child) };
  closeSync(readFd);
  const [error] = await once(child, "error");
  throw error;
}

function endOf(child: ChildProcess): Promise<ProcessEnd> {
  return new Promise((resolve) => {
    // Node gives one of the two, and null for the other.
    child.once("exit", (code, signal) => {
      if (signal !== null) resolve({ kind: "signalled", signal, number: constants.signals[signal] });
      else resolve({ kind: "exited", code: code ?? -1 });
    });
  });
}

/** Whom a command runs as, with what an account's own programs find in their environment. */
export interface Account {
  /** Absent: as we do. */
  ids?: { uid: number; gid: number };
  env: Record<string, string>;
}

/** Throws an error for people where there is no such account, or where we may not act for it. */
export function accountOf(name: string): Account {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${name}:`));
  // passwd(5): name:password:uid:gid:comment:home:shell
  const [, , uid, gid, , home = "/", shell = ""] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined)
    throw new Error(`/etc/passwd of this machine has no account ${name}`);
  const env = { HOME: home, USER: name, LOGNAME: name, SHELL: shell || "/bin/sh" };
  const own = userInfo().uid;
  if (own === Number(uid)) return { env };
  if (own !== 0) throw new Error(`only root may run commands as ${name}, and the service is not root`);
  return { ids: { uid: Number(uid), gid: Number(gid) }, env };
}
