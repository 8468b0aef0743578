/** Keeps the files of the embedded Postgres. */
import { existsSync } from "node:fs";
import { lchown, mkdtemp, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { type Account, runProgram } from "./program.ts";

/** The database's owner and its name. */
export const NAME = "carillon";

/**
 * The folder `postgres` in the data folder, made if need be, and owned by the account.
 * The caller holds the lock of the data folder.
 */
export async function ensureCluster(dataDir: string, account: Account, initdb: string): Promise<string> {
  const cluster = path.join(dataDir, "postgres");
  if (!existsSync(path.join(cluster, "PG_VERSION"))) await createCluster(cluster, account, initdb);
  await handOver(cluster, account);
  return cluster;
}

/** Makes it beside its place: one that was interrupted half-way is never taken for the real one. */
async function createCluster(cluster: string, account: Account, initdb: string): Promise<void> {
  const dataDir = path.dirname(cluster);
  const started = (await readdir(dataDir)).filter((entry) => entry.startsWith("initdb-"));
  for (const entry of started) await rm(path.join(dataDir, entry), { recursive: true, force: true });

  const folder = await mkdtemp(path.join(dataDir, "initdb-"));
  await handOver(folder, account);
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

/** Gives a folder and all that is in it to the account; itself last, so that an interrupted one is done again. */
async function handOver(folder: string, { uid, gid }: Account): Promise<void> {
  if ((await stat(folder)).uid === uid) return;
  const entries = await readdir(folder, { recursive: true });
  for (const entry of [...entries, "."]) await lchown(path.join(folder, entry), uid, gid);
}

/** The lines of postmaster.pid, which is there while a server runs, and after one that was killed. */
export async function readPidFile(cluster: string): Promise<string[] | undefined> {
  try {
    return (await readFile(path.join(cluster, "postmaster.pid"), "utf8")).split("\n");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
