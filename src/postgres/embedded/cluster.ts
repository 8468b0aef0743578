/** Creates the database cluster of the embedded Postgres: its files in the data folder. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import {
  chown,
  cp,
  lchown,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { nobodyAccount } from "./postgres-account.ts";
import { type Account, runProgram } from "./program.ts";

/** The name of the database and of its owner. */
export const NAME = "carillon";

/** Where the cluster is, or will be. */
export function clusterFolder(dataDir: string): string {
  return path.join(dataDir, "postgres");
}

/**
 * Returns the cluster, which is the folder `postgres` in the data folder. Creates it when it does not exist, and makes
 * the account its owner. The caller holds the lock of the data folder.
 */
export async function ensureCluster(dataDir: string, account: Account, initdb: string): Promise<string> {
  const cluster = clusterFolder(dataDir);
  if (!existsSync(path.join(cluster, "PG_VERSION"))) await createCluster(cluster, account, initdb);
  await changeOwner(cluster, account);
  return cluster;
}

/** Creates the cluster in a temporary folder and renames it at the end, so that an interrupted start leaves no half. */
async function createCluster(cluster: string, account: Account, initdb: string): Promise<void> {
  const dataDir = path.dirname(cluster);
  const interrupted = (await readdir(dataDir)).filter((entry) => entry.startsWith("initdb-"));
  for (const entry of interrupted) await rm(path.join(dataDir, entry), { recursive: true, force: true });

  const folder = await mkdtemp(path.join(dataDir, "initdb-"));
  await changeOwner(folder, account);
  if (!account.switchUser) await init(folder, account, initdb);
  else await initWithName(folder, account, initdb).catch(() => initAsNobody(folder, initdb));
  await rename(folder, cluster);
  const parent = await open(dataDir);
  await parent.sync().finally(() => parent.close());
}

async function init(folder: string, account: Account, initdb: string): Promise<void> {
  const settings = [
    `--username=${NAME}`,
    "--encoding=UTF8",
    "--locale=C",
    "--auth=trust",
    "--no-instructions",
  ];
  await runProgram(account, initdb, [`--pgdata=${folder}`, ...settings]);
}

/** Makes the files in a user namespace, where the id has the name of `nobody`: initdb refuses an id without a name. */
async function initWithName(folder: string, account: Account, initdb: string): Promise<void> {
  const { uid, gid } = await nobodyAccount();
  const wrapper = ["unshare", "--user", `--map-user=${uid}`, `--map-group=${gid}`, "--"];
  await init(folder, { ...account, wrapper }, initdb);
}

/**
 * Makes the files as `nobody`, where the system allows no user namespaces. Copies them, so that a process of `nobody`
 * that has opened one of them meanwhile does not hold the file that the server uses.
 */
async function initAsNobody(folder: string, initdb: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  const nobody = await nobodyAccount();
  const draft = await mkdtemp(path.join(tmpdir(), "carillon-initdb-"));
  try {
    await changeOwner(draft, nobody);
    await init(draft, nobody, initdb);
    await cp(draft, folder, { recursive: true });
    await promisify(execFile)("sync", ["--file-system", folder]);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/**
 * Lets only the service connect, besides the modes of the folders: the server asks the system who is there. Returns
 * the settings for it. Where the server runs under the service's own id, the files already belong to who connects.
 */
export async function accessSettings(cluster: string, account: Account): Promise<Record<string, string>> {
  if (!account.switchUser) return {};
  const files = {
    hba_file: `local all ${NAME} peer map=${NAME}\n`,
    ident_file: `${NAME} ${userInfo().username} ${NAME}\n`,
  };
  for (const [setting, text] of Object.entries(files)) {
    await writeFile(path.join(cluster, setting), text, { mode: 0o600 });
    await chown(path.join(cluster, setting), account.uid, account.gid);
  }
  return Object.fromEntries(Object.keys(files).map((setting) => [setting, path.join(cluster, setting)]));
}

/** Makes the account own a folder and its content. The folder comes last, so an interrupted change is repeated. */
async function changeOwner(folder: string, { uid, gid }: Account): Promise<void> {
  if ((await stat(folder)).uid === uid) return;
  const entries = await readdir(folder, { recursive: true });
  for (const entry of [...entries, "."]) await lchown(path.join(folder, entry), uid, gid);
}

/** Returns the lines of postmaster.pid. The file exists while a server runs, and remains when a server was killed. */
export async function readPidFile(cluster: string): Promise<string[] | undefined> {
  try {
    return (await readFile(path.join(cluster, "postmaster.pid"), "utf8")).split("\n");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
