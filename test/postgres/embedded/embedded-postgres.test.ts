/** Tests of the embedded Postgres: starts, restarts, and leftovers of an earlier service. */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { ensureCluster } from "../../../src/postgres/embedded/cluster.ts";
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  findBinaries,
  startEmbeddedPostgres,
} from "../../../src/postgres/embedded/embedded-postgres.ts";
import { chooseAccount } from "../../../src/postgres/embedded/postgres-account.ts";
import { startServer, waitUntilReady } from "../../../src/postgres/embedded/server.ts";
import { prepareSocketFolder } from "../../../src/postgres/embedded/socket-folder.ts";

// A start takes about a second, on a busy machine several.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const isRoot = process.geteuid?.() === 0;
const hasSetpriv = spawnSync("setpriv", ["--pdeathsig", "INT", "true"]).status === 0;

let folder: string;
let dataDir: string;
let cleanUp: AsyncDisposableStack;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(path.join(tmpdir(), "carillon-")));
  await chmod(folder, 0o755);
  dataDir = path.join(folder, "a data folder", "data");
});

afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  cleanUp = new AsyncDisposableStack();
  await useTemporaryDirectory("t");
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await cleanUp.disposeAsync();
});

async function useTemporaryDirectory(name: string): Promise<void> {
  vi.stubEnv("TMPDIR", path.join(folder, name));
  await mkdir(path.join(folder, name), { recursive: true });
}

async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, ...options });
  cleanUp.defer(() => postgres.stop());
  return postgres;
}

async function query(connectionString: string, sql: string): Promise<unknown[]> {
  await using client = await session(connectionString);
  return (await client.query({ text: sql, rowMode: "array" })).rows.flat();
}

async function session(connectionString: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({ connectionString });
  client.on("error", () => undefined); // emitted when the server ends, before "end"
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

/** Starts the server in another service process, and commits a row. */
async function startInOtherProcess() {
  const module = new URL("../../../src/postgres/embedded/embedded-postgres.ts", import.meta.url).href;
  const script = `import { startEmbeddedPostgres } from ${JSON.stringify(module)};
    console.log((await startEmbeddedPostgres({ dataDir: process.argv[1] })).connectionString);`;
  const service: ChildProcessByStdio<null, Readable, null> = spawn(
    process.execPath,
    ["--input-type=module", "-e", script, dataDir],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  cleanUp.defer(() => void service.kill("SIGKILL"));
  const [line] = await once(service.stdout, "data");
  const connectionString = String(line).trim();
  const row = randomUUID();
  await query(connectionString, "CREATE TABLE IF NOT EXISTS kept (row text)");
  await query(connectionString, `INSERT INTO kept VALUES ('${row}')`);
  return { service, connectionString, row };
}

async function serverPid(): Promise<number> {
  return Number.parseInt(await readFile(path.join(dataDir, "postgres", "postmaster.pid"), "utf8"), 10);
}

test("works in UTC and listens only on its socket", async () => {
  const { connectionString } = await start();
  const settings = ["TimeZone", "listen_addresses", "fsync", "server_encoding"];
  const sql = `SELECT current_database(), ${settings.map((name) => `current_setting('${name}')`)}`;
  expect(await query(connectionString, sql)).toEqual(["carillon", "UTC", "", "on", "UTF8"]);
});

test("keeps its data after a restart", async () => {
  const first = await start();
  await query(first.connectionString, "CREATE TABLE restarted AS SELECT 1 AS one");
  await first.stop();
  const second = await start();
  expect(await query(second.connectionString, "SELECT one FROM restarted")).toEqual([1]);
});

test("may be stopped twice", async () => {
  const postgres = await start();
  await Promise.all([postgres.stop(), postgres.stop()]);
  await expect(query(postgres.connectionString, "SELECT 1")).rejects.toThrow("ENOENT");
});

test("refuses a second service on the same data without disturbing the first", async () => {
  const { connectionString } = await start();
  await expect(start()).rejects.toThrow(`Another Carillon is running on ${dataDir}`);
  expect(await query(connectionString, "SELECT 1")).toEqual([1]);
});

test("refuses a second service that has another temporary directory", async () => {
  await start();
  await useTemporaryDirectory("another");
  await expect(start()).rejects.toThrow("Another Carillon");
});

test("starts only one of two services that start at the same time", async () => {
  const results = await Promise.allSettled([start(), start()]);
  expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("ends when its service is killed, and keeps committed rows", async ({ skip }) => {
  if (!hasSetpriv) skip("setpriv is not installed");
  const { service, connectionString, row } = await startInOtherProcess();
  const client = await session(connectionString);
  const ended = new Promise<void>((resolve) => client.once("end", resolve));
  service.kill("SIGKILL");
  await ended;
  const again = await start();
  expect(await query(again.connectionString, "SELECT row FROM kept")).toContain(row);
});

test("starts after service and server were killed and a session process survived", async () => {
  const { service, connectionString, row } = await startInOtherProcess();
  await using busy = await session(connectionString);
  const computing = once(busy, "notice");
  const loop = "WHILE clock_timestamp() < now() + interval '1 minute' LOOP END LOOP";
  const sessionEnds = busy.query(`DO $$ BEGIN RAISE NOTICE 'here'; ${loop}; END $$`).catch(String);
  await computing;
  const pid = await serverPid();
  service.kill("SIGSTOP"); // so that it does not notice the death of its server
  process.kill(pid, "SIGKILL");
  const dead = once(service, "exit");
  service.kill("SIGKILL");
  await dead;
  const again = await start();
  expect(await sessionEnds).toContain("terminated");
  expect(await query(again.connectionString, "SELECT row FROM kept")).toContain(row);
});

test("stops the server that a dead service left running", async () => {
  const { initdb, postgres } = await findBinaries();
  const account = await chooseAccount(dataDir, postgres);
  const socketFolder = await prepareSocketFolder(dataDir, account);
  const cluster = await ensureCluster(dataDir, account, initdb);
  const onLog = () => undefined;
  const leftover = startServer({
    account,
    postgres,
    cluster,
    socketFolder,
    access: {},
    stalePid: undefined,
    onLog,
  });
  await waitUntilReady(leftover, cluster);
  const { connectionString } = await start();
  expect(String(await leftover.exited)).toContain("database system is shut down");
  expect(await query(connectionString, "SELECT 1")).toEqual([1]);
});

test("starts although postmaster.pid names an unrelated process", async () => {
  // In a closed folder Postgres runs under our own user id, so it could signal the unrelated process.
  const options = { dataDir: path.join(folder, "strange", "data") };
  await mkdir(path.dirname(options.dataDir), { mode: 0o700 });
  const first = await start(options);
  const file = path.join(options.dataDir, "postgres", "postmaster.pid");
  const content = await readFile(file, "utf8");
  await first.stop();
  const unrelated = spawn("cat");
  cleanUp.defer(() => void unrelated.kill());
  await writeFile(file, content.replace(/^\d+/, String(unrelated.pid)));
  const second = await start(options);
  expect(await query(second.connectionString, "SELECT 1")).toEqual([1]);
  expect(unrelated.exitCode ?? unrelated.signalCode).toBeNull();
});

test("starts over when the first start was interrupted", async () => {
  const interrupted = path.join(folder, "interrupted");
  await mkdir(path.join(interrupted, "initdb-1", "base"), { recursive: true });
  await start({ dataDir: interrupted });
  expect((await readdir(interrupted)).sort()).toEqual(["postgres", "service.sock"]);
});

test("calls onExit when the server ends by itself", async () => {
  const exited = Promise.withResolvers<Error>();
  await start({ onExit: exited.resolve });
  const pid = await serverPid();
  process.kill(pid, "SIGINT");
  expect((await exited.promise).message).toContain("received fast shutdown request");
});

test("reports why a start fails, and releases the data folder", async () => {
  const first = await start();
  await first.stop();
  const setting = path.join(dataDir, "postgres", "postgresql.auto.conf");
  await writeFile(setting, "max_connections = many\n");
  await expect(start()).rejects.toThrow("max_connections");
  await writeFile(setting, "");
  await start();
});

test("says what to do on a platform without Postgres programs", async () => {
  await expect(findBinaries("plan9-mips")).rejects.toThrow("Set DATABASE_URL");
});

test("uses /tmp when the path of the temporary directory is too long for a socket", async () => {
  await useTemporaryDirectory("long".repeat(20));
  const { connectionString } = await start();
  const socketFolder = new URL(connectionString).searchParams.get("host") ?? "";
  expect(path.dirname(socketFolder)).toBe("/tmp");
});

test("refuses a socket folder of another user", async ({ skip }) => {
  if (!isRoot) skip("only root can give a folder away");
  const first = await start();
  await first.stop();
  const socketFolder = new URL(first.connectionString).searchParams.get("host") ?? "";
  await mkdir(socketFolder);
  await chown(socketFolder, 54321, 54321);
  cleanUp.defer(() => rm(socketFolder, { recursive: true }));
  await expect(start()).rejects.toThrow("belongs to another user");
});

test.for(["open", "closed"])(
  "starts as root in a folder that is %s to other users",
  async (kind, { skip }) => {
    if (!isRoot) skip("this is not root");
    const parent = path.join(folder, kind);
    await mkdir(parent, { mode: kind === "open" ? 0o755 : 0o700 });
    const { connectionString } = await start({ dataDir: path.join(parent, "data") });
    expect(await query(connectionString, "SELECT 1")).toEqual([1]);
  },
);

test("tells root what to do when no user can reach the data", async ({ skip }) => {
  if (!isRoot) skip("this is not root");
  const foreign = path.join(folder, "foreign");
  await mkdir(foreign, { mode: 0o700 });
  await chown(foreign, 54321, 54321);
  await expect(start({ dataDir: path.join(foreign, "data") })).rejects.toThrow(
    "Start Carillon as an ordinary user",
  );
});
