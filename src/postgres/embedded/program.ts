/** Runs the programs of the embedded Postgres under a given account. */
import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { promisify } from "node:util";

/** The account that a program runs under. It owns the files that the program writes. */
export interface Account {
  uid: number;
  gid: number;
  /** Whether the account differs from the service's own, so that the program must change its user. */
  switchUser: boolean;
  /** The command that starts the program, as a prefix of its command line; may be empty. */
  wrapper: readonly string[];
}

// Nothing is inherited from the service: its environment holds secrets, and PGPORT and the like would affect Postgres.
const ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
  TZ: "UTC",
};

/**
 * Runs a program and waits until it ends.
 *
 * @throws Error with the program's stderr when it fails
 */
export async function runProgram(account: Account, program: string, args: readonly string[]): Promise<void> {
  const { file, rest, options } = command(account, program, args);
  await promisify(execFile)(file, rest, options);
}

/**
 * Starts a program and returns while it runs.
 *
 * @param env additional environment variables
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
    // Its own process group: Ctrl-C in a terminal must reach only the service, which needs the program until it stops.
    detached: true,
  });
}

function command(account: Account, program: string, args: readonly string[]) {
  const [file = program, ...rest] = [...account.wrapper, program, ...args];
  const user = account.switchUser ? { uid: account.uid, gid: account.gid } : {};
  return { file, rest, options: { ...user, env: ENVIRONMENT, cwd: "/" } };
}
