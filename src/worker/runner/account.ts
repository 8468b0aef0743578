/** Finds the account of this machine that a command is to run as. */
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";

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
