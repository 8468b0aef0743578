/** Runs a command that prints without end, and measures the memory and the database space it costs. */
import { readFile, writeFile } from "node:fs/promises";
import { openDatabase } from "../../src/postgres/client.ts";
import { descendantsOf } from "../../test/support/process-search.ts";
import type { ServiceProcess } from "../../test/support/service-process.ts";
import { type Campaign, createChecks, type Findings, startNode, until, type World } from "./campaign.ts";

const MIB = 1_048_576;
/** The limit for the growth of service and runner together. */
const MOST_GROWTH_MIB = 150;
/** The limit for what is stored of one attempt per second, and at its end. */
const LIVE_MIB_PER_S = 2;
const LOG_LIMIT_MIB = 1;
/** The write-ahead log also contains pages, indexes and other work of the service. */
const WAL_FACTOR = 1.5;
const WAL_MIB_PER_S = 1;
const WAL_MIB = 8;

/** One round is one flood. */
export const flood: Campaign = {
  title: "a command that prints 1 GiB",
  run: (world) => floodOnce(world, { floodMib: 1_024 }),
};

export async function floodOnce(world: World, { floodMib }: { floodMib: number }): Promise<Findings> {
  const checks = createChecks();
  const db = openDatabase(world.connectionString, { maxConnections: 1 });
  await using service = await startNode(world, "node");
  try {
    await service.client.putJob("warm-up", { command: "head -c 1000000 /dev/urandom" });
    await service.client.trigger("warm-up", undefined, "30s");
    const before = await memoryMib(service, "VmRSS");
    await forgetPeaks(service);
    const walBefore = await walMib(db);

    // Random bytes do not compress.
    const command = `echo head; head -c ${floodMib * MIB} /dev/urandom; echo; echo tail`;
    await service.client.putJob("flood", { command });
    const { id } = await service.client.trigger("flood");
    const run = await until("the flood ends", 300_000, async () => {
      const now = await service.client.run(id, "50s");
      return now.finished_at === null ? undefined : now;
    });
    const growth = (await memoryMib(service, "VmHWM")) - before;
    const wal = (await walMib(db)) - walBefore;
    const seconds = (run.attempts[0]?.duration_ms ?? 0) / 1_000;
    const log = (await service.client.call<string>("GET", `/runs/${id}/log`)).body;

    checks.that(run.state === "succeeded" && run.log_truncated, `the run is ${run.state}`);
    checks.that(log.startsWith("head\n") && log.endsWith("\ntail\n"), "the log lacks its head or its end");
    const omitted = floodMib * MIB + "head\n\ntail\n".length - LOG_LIMIT_MIB * MIB;
    checks.that(log.includes(`\n... ${omitted} bytes omitted ...\n`), "the log does not say what it lacks");
    checks.that(growth < MOST_GROWTH_MIB, `service and runner grew by ${Math.round(growth)} MiB`);
    const mostWal =
      (LIVE_MIB_PER_S * seconds + LOG_LIMIT_MIB) * WAL_FACTOR + WAL_MIB_PER_S * seconds + WAL_MIB;
    checks.that(wal < mostWal, `${Math.round(wal)} MiB were written, more than ${Math.round(mostWal)}`);
    const figures = {
      "growth of service and runner (MiB)": growth,
      "written ahead by Postgres (MiB)": wal,
      "flood (MiB/s)": floodMib / seconds,
    };
    return { broken: checks.broken, figures };
  } finally {
    await db.close();
  }
}

async function pidsOf({ child: { pid = 0 } }: ServiceProcess): Promise<number[]> {
  const isRunner = async (one: number) =>
    (await readFile(`/proc/${one}/cmdline`, "utf8").catch(() => "")).includes("runner");
  const below = await descendantsOf(pid);
  const runners = await Promise.all(below.map(async (one) => ((await isRunner(one)) ? [one] : [])));
  return [pid, ...runners.flat()];
}

/** VmRSS is the present size, VmHWM the peak. */
async function memoryMib(service: ServiceProcess, field: "VmRSS" | "VmHWM"): Promise<number> {
  const sizes = await Promise.all(
    (await pidsOf(service)).map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1_024;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Resets the peak, which so far is that of the start (proc_pid_clear_refs(5)). */
async function forgetPeaks(service: ServiceProcess): Promise<void> {
  for (const pid of await pidsOf(service)) await writeFile(`/proc/${pid}/clear_refs`, "5");
}

async function walMib({ prisma }: ReturnType<typeof openDatabase>): Promise<number> {
  const [row] = await prisma.$queryRaw<{ bytes: number }[]>`
    SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS bytes`;
  return (row?.bytes ?? 0) / MIB;
}
