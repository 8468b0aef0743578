/** Creates the database cluster of the embedded Postgres: its files in the data folder. */
import { existsSync } from "node:fs";
import { lchown, mkdtemp, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { type Account, runProgram } from "./program.ts";

/** The name of the database and of its owner. */
export const NAME = "carillon";

/**
 * Returns the cluster, which is the folder `postgres` in the data folder. Creates it when it does not exist, and makes
 * the account its owner. The caller holds the lock of the data folder.
 */
export async function ensureCluster(dataDir: string, account: Account, initdb: string): Promise<string> {
  const cluster = path.join(dataDir, "postgres");
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
  const settings = [
    `--username=${NAME}`,
    "--encoding=UTF8",
    "--locale=C",
    "--auth=trust",
    "--no-instructions",
  ];
  await runProgram(account, initdb, [`--pgdata=${folder}`, ...settings]);
  await rename(folder, cluster);
  const parent = await open(dataDir);
  await parent.sync().finally(() => parent.close());
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
