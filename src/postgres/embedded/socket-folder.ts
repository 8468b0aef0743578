/** Keeps the folder of the embedded Postgres' unix socket. */
import { createHash } from "node:crypto";
import { chmod, chown, lstat, mkdir, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { OperatorError } from "../../errors.ts";
import type { Account } from "./program.ts";

/** The port: a part of the socket's name, and nothing else. */
export const PORT = 5432;

// What the kernels leave of sun_path on macOS; Linux has four bytes more.
const MAX_PATH_BYTES = 103;

/**
 * Makes the folder, which is short enough for a socket's path however long that of the data is, and in it the link
 * `data` to `dataDir`. Only the account gets in, and root.
 *
 * @param dataDir a real path
 * @throws if somebody else already made a folder of this name
 */
export async function prepareSocketFolder(dataDir: string, account: Account): Promise<string> {
  const name = `carillon-${createHash("sha256").update(dataDir).digest("hex").slice(0, 16)}`;
  const fits = Buffer.byteLength(socketPath(path.join(tmpdir(), name))) <= MAX_PATH_BYTES;
  const folder = path.join(fits ? tmpdir() : "/tmp", name);

  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  // Whoever else has it could put a server of his own behind the socket.
  if (!found.isDirectory() || ![process.geteuid?.(), account.uid].includes(found.uid)) {
    throw new OperatorError(
      `${folder} belongs to somebody else: remove it, or set TMPDIR to a folder of your own`,
    );
  }
  await chmod(folder, 0o700);
  if (found.uid !== account.uid) await chown(folder, account.uid, account.gid);

  await symlink(dataDir, path.join(folder, "data")).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  return folder;
}

function socketPath(folder: string): string {
  return path.join(folder, `.s.PGSQL.${PORT}`);
}
