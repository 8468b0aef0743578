/** One Carillon process: its parts started in order, and stopped in reverse. */
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pLimit from "p-limit";
import type { Logger } from "pino";
import { type AdminToken, adminToken } from "./access/admin-token.ts";
import { findGrant } from "./access/authenticate.ts";
import { secretKeys } from "./access/secret-keys.ts";
import { buildApp } from "./api/app.ts";
import type { Readiness } from "./api/routes/health.ts";
import { routes } from "./api/routes/index.ts";
import { readTls, type Tls } from "./api/tls.ts";
import { type Config, ConfigError } from "./config.ts";
import { type AddressGuard, createAddressGuard, parseCidrs } from "./deliveries/address-guard.ts";
import { startNotifier } from "./deliveries/notifier.ts";
import { createSender } from "./deliveries/post-webhook.ts";
import { DELIVERY_DELAYS_MS } from "./deliveries/rules/retry-schedule.ts";
import type { Deps } from "./deps.ts";
import { type Database, openDatabase } from "./postgres/client.ts";
import { startEmbeddedPostgres } from "./postgres/embedded/embedded-postgres.ts";
import { applyMigrations } from "./postgres/migrations.ts";
import { openQueue } from "./queue/queue.ts";
import { openSignals } from "./queue/signals.ts";
import { startRecovery } from "./runs/recover.ts";
import { type Retention, type Swept, startRetention } from "./runs/retain.ts";
import { type SchedulerNumbers, watchScheduler } from "./scheduler/overdue.ts";
import { type Scheduler, startScheduler } from "./scheduler/scheduler.ts";
import { createRunner } from "./worker/runner-client.ts";
import { startWorker } from "./worker/worker.ts";

/** A beat older than this means that slots are late. */
const LATE_BEAT_MS = 5_000;
/** A database that takes longer (ms) does not answer. */
const READY_PATIENCE_MS = 2_000;
/** Of the database's ten connections, those that starts and settlements of attempts may take at one time. */
const WORKER_CONNECTIONS = 6;
const SILENT = ["database: does not answer"];

export interface Service {
  /** Where the API listens; undefined without the role api. */
  url: string | undefined;
  token: AdminToken;
  /** Drains and stops; running commands get the configured grace. */
  stop(): Promise<void>;
}

/** What tests inject. */
export interface Overrides {
  deliveryDelaysMs?: readonly number[];
}

/**
 * Starts the roles of the configuration.
 * @param onFatal told when the service cannot go on: its embedded Postgres has ended
 */
export async function startService(
  config: Config,
  log: Logger,
  onFatal: (error: Error) => void,
  overrides: Overrides = {},
): Promise<Service> {
  await using failure = new AsyncDisposableStack();
  const guard = webhookGuard(config);
  const tls = config.tls && (await readTls(config.tls.certFile, config.tls.keyFile));
  const token = await adminToken(config.adminToken, config.dataDir);
  const connectionString = config.databaseUrl ?? (await embedPostgres(config, log, onFatal, failure));
  const closing = new AbortController();
  const deps = await openDeps(config, connectionString, closing.signal, log, overrides, failure);

  const recovery = startRecovery(deps, logError(log, "recovery had an error"));
  failure.defer(() => recovery.stop());
  const retention = startRetention(deps, logSwept(log), logError(log, "retention had an error"));
  failure.defer(() => retention.stop());
  let scheduler: Scheduler | undefined;
  if (config.roles.includes("scheduler")) {
    scheduler = startScheduler(deps, log);
    failure.defer(() => scheduler?.stop());
  }
  if (config.roles.includes("worker")) await startWork(deps, config, guard, log, failure);
  const url = config.roles.includes("api")
    ? await startApi(deps, config, guard, { token: token.token, tls }, log, { scheduler, retention }, failure)
    : undefined;

  const running = failure.move();
  const stop = () => {
    closing.abort();
    return running.disposeAsync();
  };
  return { url, token, stop };
}

async function embedPostgres(
  config: Config,
  log: Logger,
  onFatal: (error: Error) => void,
  cleanup: AsyncDisposableStack,
): Promise<string> {
  const onLog = (line: string) => log.debug({ postgres: line });
  const postgres = await startEmbeddedPostgres({ dataDir: config.dataDir, onLog, onExit: onFatal });
  cleanup.defer(() => postgres.stop());
  return postgres.connectionString;
}

async function openDeps(
  config: Config,
  connectionString: string,
  closing: AbortSignal,
  log: Logger,
  overrides: Overrides,
  cleanup: AsyncDisposableStack,
): Promise<Deps> {
  const applied = await applyMigrations(connectionString);
  if (applied.length > 0) log.info({ migrations: applied }, "applied migrations");
  const db = openDatabase(connectionString);
  cleanup.defer(() => db.close());
  const queue = await openQueue({
    connectionString,
    pools: config.workerPools,
    onError: logError(log, "pg-boss had an error"),
  });
  cleanup.defer(() => queue.stop());
  const signals = openSignals(
    connectionString,
    logError(log, "signals are lost for a moment; polling goes on"),
  );
  cleanup.defer(() => signals.close());
  return {
    db,
    queue,
    signals,
    defaultTimezone: config.defaultTimezone,
    random: Math.random,
    deliveryDelaysMs: overrides.deliveryDelaysMs ?? DELIVERY_DELAYS_MS,
    closing,
    secretKeys: secretKeys(config.secretKeyFile),
    knownTokens: new Map(),
  };
}

async function startWork(
  deps: Deps,
  config: Config,
  guard: AddressGuard,
  log: Logger,
  cleanup: AsyncDisposableStack,
): Promise<void> {
  const send = createSender({ guard, userAgent: "Carillon" });
  const notifier = startNotifier(deps, send, log);
  cleanup.defer(() => notifier.stop());
  const runner = await createRunner({
    folder: join(config.dataDir, "runners"),
    path: config.commandEnv["PATH"],
    pidNamespace: config.pidNamespace,
    log,
  });
  cleanup.defer(() => runner.close());
  const limitDatabase = pLimit(WORKER_CONNECTIONS);
  const workers = config.workerPools.map((pool) =>
    startWorker(deps, {
      name: config.nodeName,
      pool,
      concurrency: config.workerConcurrency,
      baseEnv: config.commandEnv,
      jobsDir: config.jobsDir,
      runner,
      limitDatabase,
      log,
    }),
  );
  cleanup.defer(async () => {
    await Promise.all(workers.map((worker) => worker.stop(config.shutdownGraceMs)));
  });
}

/** Throws ConfigError when WEBHOOK_ALLOW_CIDR cannot be read. */
function webhookGuard(config: Config): AddressGuard {
  try {
    return createAddressGuard(parseCidrs(config.webhookAllowCidr));
  } catch (error) {
    throw new ConfigError(`WEBHOOK_ALLOW_CIDR: ${(error as Error).message}`);
  }
}

async function startApi(
  deps: Deps,
  config: Config,
  guard: AddressGuard,
  { token, tls }: { token: string; tls: Tls | undefined },
  log: Logger,
  { scheduler, retention }: { scheduler: Scheduler | undefined; retention: Retention },
  cleanup: AsyncDisposableStack,
): Promise<string> {
  const numbers = watchScheduler(deps, scheduler);
  const app = await buildApp({
    token,
    findGrant: (given) => findGrant(deps, given),
    allowedHosts: config.allowedHosts,
    tls,
    behindProxy: config.behindProxy,
    limits: { callsPerSecond: config.rateLimit, failedLogins: config.failedLoginLimit },
    logger: log,
    routes: routes(
      deps,
      () => readiness(deps.db, numbers, scheduler),
      {
        hostTimezone: config.hostTimezone,
        defaultTimezone: config.defaultTimezone,
        refusal: guard.checkUrl,
      },
      { scheduler: numbers, deleted: retention.deleted },
    ),
  });
  cleanup.defer(() => app.close());
  const scheme = tls === undefined ? "http" : "https";
  // Fastify does not see that the server that it was given has TLS.
  const listenTextResolver = (address: string) => `the API listens on ${address.replace("http", scheme)}`;
  await app.listen({ host: config.host, port: config.port, listenTextResolver });
  const { address, port, family } = app.server.address() as AddressInfo;
  // An address that stands for all of them is one that callers cannot use.
  if (address === "0.0.0.0" || address === "::") return `${scheme}://127.0.0.1:${port}`;
  return `${scheme}://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}

/** Names what is not ready, and why. Slots that are overdue are the fault of those that are schedulers. */
async function readiness(
  db: Database,
  numbers: () => Promise<SchedulerNumbers>,
  scheduler: Scheduler | undefined,
): Promise<Readiness> {
  const sinceLastBeat = scheduler?.sinceLastBeat() ?? null;
  const own = { sinceLastBeat, beatLateness: scheduler?.beatLateness() ?? null, oldestOverdue: null };
  const [database, seen] = await Promise.race([
    Promise.all([pendingMigrations(db), numbers().catch(() => own)]),
    delay(READY_PATIENCE_MS, [SILENT, own] as const, { ref: false }),
  ]);
  const late = (ms: number | null, say: (seconds: number) => string) =>
    ms !== null && ms > LATE_BEAT_MS ? [`scheduler: ${say(Math.round(ms / 1_000))}`] : [];
  const overdue = scheduler === undefined ? null : seen.oldestOverdue;
  return {
    notReady: [
      ...database,
      ...late(sinceLastBeat, (seconds) => `the last beat was ${seconds} s ago`),
      ...late(overdue, (seconds) => `the oldest slot is ${seconds} s overdue`),
    ],
    scheduler: seen,
  };
}

async function pendingMigrations(db: Database): Promise<string[]> {
  try {
    const pending = await db.pendingMigrations();
    return pending.length > 0 ? ["migrations: not applied"] : [];
  } catch {
    // Readable without a token, like all that is said here: the cause stands in the log of whatever else needs the database.
    return SILENT;
  }
}

/** Says what went by retention; a sweep that found nothing is of no interest. */
function logSwept(log: Logger): (swept: Swept) => void {
  return (swept) => {
    const level = swept.runs + swept.keys > 0 ? "info" : "debug";
    log[level](swept, "retention has deleted what was too old");
  };
}

function logError(log: Logger, message: string): (error: Error) => void {
  return (error) => log.error({ err: error }, message);
}
