/** Starts the programs of the embedded Postgres as the account that was chosen for them. */
import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { promisify } from "node:util";

/** As whom a program runs, and who owns what it writes. */
export interface Account {
  uid: number;
  gid: number;
  /** Whether the program has to be switched to that user: it is not the one who starts it. */
  switchUser: boolean;
  /** The command that the program is started through. */
  wrapper: readonly string[];
}

// Nothing of the service's own: it holds secrets, and Postgres would heed PGPORT and the like.
const ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
  TZ: "UTC",
};

/**
 * Runs a program to its end.
 *
 * @throws an error with what the program wrote to stderr if it fails
 */
export async function runProgram(account: Account, program: string, args: readonly string[]): Promise<void> {
  const { file, rest, options } = command(account, program, args);
  await promisify(execFile)(file, rest, options);
}

/**
 * Starts a program that goes on.
 *
 * @param env what its environment holds besides the usual
 */
export function startProgram(
  account: Account,
  program: string,
  args: readonly string[],
  env: Record<string, string>,
): ChildProcessByStdio<null, null, Readable> {
  const { file, rest, options } = command(account, program, args);
  return spawn(file, rest, {
    ...options,
    env: { ...options.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
    // A group of its own: Ctrl-C in a terminal must reach the service only, which needs the program to the last.
    detached: true,
  });
}

function command(account: Account, program: string, args: readonly string[]) {
  const [file = program, ...rest] = [...account.wrapper, program, ...args];
  const user = account.switchUser ? { uid: account.uid, gid: account.gid } : {};
  return { file, rest, options: { ...user, env: ENVIRONMENT, cwd: "/" } };
}
