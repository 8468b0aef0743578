/** Spawns one process in its own group with stdout and stderr on one pipe, and explains why a spawn failed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, closeSync, constants as fileConstants, readFileSync, statSync } from "node:fs";
import { constants, userInfo } from "node:os";
import type { NoResources, ProcessEnd, StartFailure, StartOrder } from "./frames.ts";
import { takeOutputPipe } from "./output-pipe.ts";

/** A running process. */
export interface SpawnedProcess {
  /** Also the id of its process group and session. */
  pid: number;
  /** The read end of its output; the caller closes it. */
  readFd: number;
  /** Resolves once the process has been reaped; never rejects. */
  ended: Promise<ProcessEnd>;
}

/**
 * Spawns a command: a text through `/bin/sh -c`, a list without a shell. stdin is `/dev/null`.
 * Node reports death by a real-time signal (34 to 64) as exit code 0, and so do we.
 * @throws the error of `spawn` or of making the pipe; `explainStartFailure` reads it
 */
export async function spawnCommand({
  command,
  env,
  cwd,
  user,
  refusedUid,
}: StartOrder): Promise<SpawnedProcess> {
  const [file, ...args] = command.kind === "shell" ? ["/bin/sh", "-c", command.text] : command.argv;
  if (file === undefined) throw new Error("the command is an empty list");
  const account: Account = user === undefined ? { env: {} } : accountOf(user, refusedUid);
  const options = { ...account.ids, env: { ...account.env, ...env }, cwd, detached: true };
  const { readFd, writeFd } = takeOutputPipe();
  let child: ChildProcess;
  try {
    child = spawn(file, args, { ...options, stdio: ["ignore", writeFd, writeFd] });
  } catch (error) {
    closeSync(readFd);
    throw error;
  } finally {
    // The output ends only when every write end is closed.
    closeSync(writeFd);
  }
  // Some failures throw; for the others the child has no pid and emits `error`.
  if (child.pid !== undefined) return { pid: child.pid, readFd, ended: endOf(child) };
  closeSync(readFd);
  const [error] = await once(child, "error");
  throw error;
}

function endOf(child: ChildProcess): Promise<ProcessEnd> {
  return new Promise((resolve) => {
    // One of the two is always null.
    child.once("exit", (code, signal) => {
      if (signal !== null) resolve({ kind: "signalled", signal, number: constants.signals[signal] });
      else resolve({ kind: "exited", code: code ?? -1 });
    });
  });
}

/** The account that a command runs as. */
interface Account {
  /** Absent when it is our own account. */
  ids?: { uid: number; gid: number };
  /** The variables that a login of this account would set. */
  env: Record<string, string>;
}

/** Throws an error with a message for users when the account does not exist or we may not switch to it. */
function accountOf(name: string, refusedUid: number | undefined): Account {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${name}:`));
  // passwd(5): name:password:uid:gid:comment:home:shell
  const [, , uid, gid, , home = "/", shell = ""] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined)
    throw new Error(`/etc/passwd on this machine has no account ${name}`);
  if (Number(uid) === refusedUid) {
    throw new Error(`commands cannot run as ${name}: the database of Carillon uses its user id ${uid}`);
  }
  const env = { HOME: home, USER: name, LOGNAME: name, SHELL: shell || "/bin/sh" };
  const own = userInfo().uid;
  if (own === Number(uid)) return { env };
  if (own !== 0) throw new Error(`only root may run commands as ${name}, and the service is not root`);
  return { ids: { uid: Number(uid), gid: Number(gid) }, env };
}

/**
 * Explains the error of a spawn, with code 127 for a missing command and 126 for everything else.
 * `spawn` reports ENOENT for a missing command and for a missing folder, so the folder is checked first.
 */
export function explainStartFailure(
  { command, cwd, user }: StartOrder,
  error: unknown,
): StartFailure | NoResources {
  const code = String(errorCode(error));
  const lack = LACKS.get(code);
  // With `user`, EAGAIN may be the limit of that account, which waiting does not lift.
  const isOwn = code === "EAGAIN" && user !== undefined;
  if (lack !== undefined && !isOwn)
    return { kind: "no_resources", message: `the worker's machine has ${lack}` };
  const failed = (code: 126 | 127, message: string): StartFailure => ({
    kind: "start_failed",
    code,
    message,
  });
  const folderProblem = describeFolderProblem(cwd);
  if (folderProblem !== undefined) return failed(126, folderProblem);

  const file = command.kind === "shell" ? "/bin/sh" : command.argv[0];
  switch (errorCode(error)) {
    case "ENOENT":
      // ENOENT also means that the script exists but its interpreter does not.
      return failed(127, `command not found: ${file}${file?.includes("/") ? " (or its interpreter)" : ""}`);
    case "EACCES":
      if (user !== undefined) return failed(126, `${user} may not execute ${file} or may not enter ${cwd}`);
      return failed(126, `not an executable file: ${file}`);
    case "E2BIG":
      return failed(126, "the command line and environment are too long");
    default:
      return failed(126, `could not be started: ${error instanceof Error ? error.message : error}`);
  }
}

/** What the machine lacks, by the code of an error. */
const LACKS = new Map([
  ["EMFILE", "no free file descriptors (EMFILE)"],
  ["ENFILE", "no free file descriptors (ENFILE)"],
  ["EAGAIN", "no room for more processes (EAGAIN)"],
  ["ENOMEM", "no free memory (ENOMEM)"],
]);

function describeFolderProblem(cwd: string): string | undefined {
  try {
    if (!statSync(cwd).isDirectory()) return `working directory is not a directory: ${cwd}`;
    accessSync(cwd, fileConstants.X_OK);
    return undefined;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return `working directory not found: ${cwd}`;
    return `working directory cannot be entered: ${cwd} (${errorCode(error)})`;
  }
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
