/** Creates the folder of the embedded Postgres' unix socket. */
import { createHash } from "node:crypto";
import { chmod, chown, lstat, mkdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { OperatorError } from "../../errors.ts";
import { nobodyAccount } from "./postgres-account.ts";
import type { Account } from "./program.ts";

/** The port. It is only a part of the socket's name, because the server opens no TCP port. */
export const PORT = 5432;

// The longest path of a unix socket on macOS. Linux allows four bytes more.
const MAX_PATH_BYTES = 103;

/**
 * Creates the folder and, in it, the symbolic link `data` to `dataDir`. The folder's path is short enough for a socket,
 * however long the path of the data is. Only the account and root can enter.
 *
 * @param dataDir a path without symbolic links
 * @throws OperatorError when a folder of this name belongs to another user
 */
export async function prepareSocketFolder(dataDir: string, account: Account): Promise<string> {
  const name = `carillon-${createHash("sha256").update(dataDir).digest("hex").slice(0, 16)}`;
  const fits = Buffer.byteLength(socketPath(path.join(tmpdir(), name))) <= MAX_PATH_BYTES;
  const folder = path.join(fits ? tmpdir() : "/tmp", name);

  await mkdir(folder, { recursive: true, mode: 0o700 });
  await removeFormer(folder, account);
  const found = await lstat(folder);
  // Another owner of the folder could put their own server behind the socket.
  if (!found.isDirectory() || ![process.geteuid?.(), account.uid].includes(found.uid)) {
    throw new OperatorError(`${folder} belongs to another user: remove it, or set TMPDIR to your own folder`);
  }
  await chmod(folder, 0o700);
  if (found.uid !== account.uid) await chown(folder, account.uid, account.gid);

  await symlink(dataDir, path.join(folder, "data")).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  return folder;
}

/** An earlier release ran the server as `nobody`, and left the folder when it was killed. */
async function removeFormer(folder: string, account: Account): Promise<void> {
  const { uid } = await nobodyAccount();
  const found = await lstat(folder);
  if (!account.switchUser || !found.isDirectory() || found.uid !== uid) return;
  await rm(folder, { recursive: true });
  await mkdir(folder, { mode: 0o700 });
}

function socketPath(folder: string): string {
  return path.join(folder, `.s.PGSQL.${PORT}`);
}
