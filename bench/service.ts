/** Starts Carillon as a real process on a database of its own, and reads what its processes use. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { startNode } from "../scripts/reliability/campaign.ts";
import { descendantsOf } from "../test/support/process-search.ts";
import type { ServiceProcess } from "../test/support/service-process.ts";
import type { Bench, Figures } from "./benchmark.ts";
import { type ApiClient, createApiClient } from "./http-client.ts";
import type { BenchDatabase } from "./postgres.ts";
import { commandLine, memoryOf, processorTime, processorTimes } from "./processor-time.ts";

/** A Carillon that runs. */
export interface BenchService extends BenchDatabase {
  process: ServiceProcess;
  api: ApiClient;
  /** The file of the administrator's token. */
  tokenFile: string;
}

let services = 0;

/** Starts a service on the database. It is killed at the end. */
export async function openService(
  bench: Bench,
  database: BenchDatabase,
  environment: Record<string, string> = {},
): Promise<BenchService> {
  const { folder, stack } = bench;
  const name = `service-${services++}`;
  const world = { connectionString: database.connectionString, folder, seed: 0 };
  // Only the tests set it: their many short services spare the compiling.
  const cache = { NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? "" };
  const started = stack.use(await startNode(world, name, { ...cache, ...environment }));
  started.child.once("exit", (code, signal) => {
    if (signal !== "SIGKILL" && code !== 0) console.error(`a service has ended: ${started.output()}`);
  });
  const tokenFile = path.join(folder, name, "admin-token");
  const token = await readFile(tokenFile, "utf8");
  const api = createApiClient(`${started.url}/api/v1`, token.trim());
  stack.defer(() => api.close());
  return { ...database, process: started, api, tokenFile };
}

/** What the processes of a service have used up to a moment. Times in ms. */
interface Usage {
  main: number;
  runner: number;
  /** By the pid of the session's process: sessions come and go. */
  postgres: Map<number, number>;
}

/**
 * Starts to measure. The function that it returns gives the processor time since then, divided by `count`. The time of
 * Postgres is that of the sessions on the service's database; it is left out where they run on another machine.
 */
export async function measureUsage(service: BenchService): Promise<(count: number) => Promise<Figures>> {
  const before = await usage(service);
  return async (count) => {
    const after = await usage(service);
    const sessions = [...after.postgres].map(([pid, time]) => time - (before.postgres.get(pid) ?? 0));
    return {
      "main (ms processor/run)": (after.main - before.main) / count,
      "runner (ms processor/run)": (after.runner - before.runner) / count,
      ...(sessions.length > 0 && {
        "Postgres (ms processor/run)": sessions.reduce((sum, time) => sum + time, 0) / count,
      }),
    };
  };
}

async function usage({ process: { child }, session }: BenchService): Promise<Usage> {
  const { rows } = await session.query(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
  );
  const pids = rows.map(({ pid }) => Number(pid)).filter((pid) => commandLine(pid).includes("postgres"));
  const main = child.pid ?? 0;
  return {
    main: processorTime(main),
    runner: processorTimes(runnersOf(main)),
    postgres: new Map(pids.map((pid) => [pid, processorTime(pid)])),
  };
}

/** The processor time (ms) that the main process has used so far. */
export function mainTime({ process: { child } }: BenchService): number {
  return processorTime(child.pid ?? 0);
}

/** The memory of the main process and of its runner. */
export function memory({ process: { child } }: BenchService): Figures {
  const main = child.pid ?? 0;
  const [runner] = runnersOf(main);
  return {
    "main (MB)": memoryOf(main),
    ...(runner !== undefined && { "runner (MB)": memoryOf(runner) }),
  };
}

function runnersOf(main: number): number[] {
  return descendantsOf(main).filter((pid) => /worker\/runner\/runner\.\w+/.test(commandLine(pid)));
}
