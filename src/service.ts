/** One Carillon process: its parts started in order, and stopped in reverse. */
import { join } from "node:path";
import pLimit from "p-limit";
import type { Logger } from "pino";
import { type AdminToken, adminToken } from "./access/admin-token.ts";
import { createAuthenticator } from "./access/authenticate.ts";
import { secretKeys } from "./access/secret-keys.ts";
import { buildApp } from "./api/app.ts";
import { type BoundServer, bindServer } from "./api/bound-server.ts";
import { createReadiness } from "./api/readiness.ts";
import { routes } from "./api/routes/index.ts";
import { readTls } from "./api/tls.ts";
import { type Config, ConfigError } from "./config.ts";
import { type AddressGuard, createAddressGuard, parseCidrs } from "./deliveries/address-guard.ts";
import { startNotifier } from "./deliveries/notifier.ts";
import { createSender } from "./deliveries/post-webhook.ts";
import { DELIVERY_DELAYS_MS } from "./deliveries/rules/retry-schedule.ts";
import type { Deps } from "./deps.ts";
import { createMonitor, createParts, type Monitor, type Parts } from "./lifecycle.ts";
import { openDatabase } from "./postgres/client.ts";
import { startEmbeddedPostgres } from "./postgres/embedded/embedded-postgres.ts";
import { applyMigrations } from "./postgres/migrations.ts";
import { openQueue } from "./queue/queue.ts";
import { openSignals } from "./queue/signals.ts";
import { startRecovery, startSettlingLost } from "./runs/recover.ts";
import { type Retention, startRetention } from "./runs/retain.ts";
import { watchScheduler } from "./scheduler/overdue.ts";
import { type Scheduler, startScheduler } from "./scheduler/scheduler.ts";
import { createRunner } from "./worker/runner-supervisor.ts";
import { startWorker } from "./worker/worker.ts";

/** A part that claims messages is late when it could not ask for any for so long (ms). */
const LATE_CLAIM_MS = 15_000;
/** A beat older than this (ms) means that slots are late. */
const LATE_BEAT_MS = 5_000;
/** Of the database's ten connections, those that starts and settlements of attempts may take at one time. */
const WORKER_CONNECTIONS = 6;

export interface Service {
  /** Where the API listens; undefined without the role api. */
  url: string | undefined;
  token: AdminToken;
  /** Drains and stops: running commands get the configured grace. Ends within that grace and 15 s more, in any case. */
  stop(): Promise<void>;
}

/** What tests inject. */
export interface Overrides {
  deliveryDelaysMs?: readonly number[];
}

/** What all parts are started with. */
interface Start {
  config: Config;
  log: Logger;
  parts: Parts;
  guard: AddressGuard;
  /** The monitor of a part; `lateAfterMs` as in `createMonitor`. */
  monitor(name: string, lateAfterMs?: number): Monitor;
}

/**
 * Starts the roles of the configuration. The port is taken first: when it is in use, nothing else has been started.
 * @param onFatal told when the service cannot go on: its embedded Postgres has ended
 */
export async function startService(
  config: Config,
  log: Logger,
  onFatal: (error: Error) => void,
  overrides: Overrides = {},
): Promise<Service> {
  const parts = createParts(log);
  const monitor = (name: string, lateAfterMs?: number) => createMonitor(name, log, lateAfterMs);
  const closing = new AbortController();
  try {
    const start: Start = { config, log, parts, guard: webhookGuard(config), monitor };
    const server = await bindPort(start);
    const token = await adminToken(config.adminToken, config.dataDir);
    const deps = await openDeps(start, closing.signal, onFatal, overrides);
    const background = startBackground(start, deps);
    if (config.roles.includes("worker")) await startWork(start, deps);
    if (server !== undefined) await startApi(start, deps, { server, token: token.token, ...background });
    const stop = () => {
      closing.abort();
      return parts.stop();
    };
    return { url: server?.url, token, stop };
  } catch (error) {
    closing.abort();
    await parts.stop();
    throw error;
  }
}

/** Takes the port of the API, which lets go of it again; a start that fails does so last. */
async function bindPort({ config, parts }: Start): Promise<BoundServer | undefined> {
  const { roles, host, port, tls } = config;
  if (!roles.includes("api")) return undefined;
  const server = await bindServer({ host, port }, { tls: tls && (await readTls(tls.certFile, tls.keyFile)) });
  parts.add("storage", server);
  return server;
}

async function openDeps(
  start: Start,
  closing: AbortSignal,
  onFatal: (error: Error) => void,
  overrides: Overrides,
): Promise<Deps> {
  const { config, log, parts, monitor } = start;
  const connectionString = config.databaseUrl ?? (await embedPostgres(start, onFatal));
  const applied = await applyMigrations(connectionString);
  if (applied.length > 0) log.info({ migrations: applied }, "applied migrations");
  const db = openDatabase(connectionString);
  parts.add("connections", { name: "database", stopMs: 1_000, stop: () => db.close() });
  const pools = config.workerPools;
  const queue = await openQueue({ connectionString, pools, monitor: monitor("queue") });
  const signals = openSignals(connectionString, monitor("signals"));
  parts.add("connections", queue, signals);
  return {
    db,
    queue,
    signals,
    defaultTimezone: config.defaultTimezone,
    random: Math.random,
    deliveryDelaysMs: overrides.deliveryDelaysMs ?? DELIVERY_DELAYS_MS,
    closing,
    secretKeys: secretKeys(config.secretKeyFile),
    authenticator: createAuthenticator(db),
  };
}

async function embedPostgres(
  { config, log, parts }: Start,
  onFatal: (error: Error) => void,
): Promise<string> {
  const onLog = (line: string) => log.debug({ postgres: line });
  const postgres = await startEmbeddedPostgres({ dataDir: config.dataDir, onLog, onExit: onFatal });
  parts.add("storage", { name: "embedded Postgres", stopMs: 2_000, stop: () => postgres.stop() });
  return postgres.connectionString;
}

/** The parts that every node has, and the scheduler. */
function startBackground(
  { config, log, parts, monitor }: Start,
  deps: Deps,
): { retention: Retention; scheduler: Scheduler | undefined } {
  const recovery = startRecovery(deps, monitor("recovery"));
  const settling = startSettlingLost(deps, monitor("lost attempts", LATE_CLAIM_MS));
  const retention = startRetention(deps, monitor("retention"), logSweep(log));
  parts.add("background", recovery, settling);
  parts.add("intake", retention);
  if (!config.roles.includes("scheduler")) return { retention, scheduler: undefined };
  const scheduler = startScheduler(deps, monitor("scheduler", LATE_BEAT_MS), log);
  parts.add("intake", scheduler);
  return { retention, scheduler };
}

/** The notifier, the runner, and a worker for each pool. */
async function startWork({ config, log, parts, guard, monitor }: Start, deps: Deps): Promise<void> {
  const send = createSender({ guard, userAgent: "Carillon" });
  const notifier = startNotifier(deps, {
    send,
    secretKeys: deps.secretKeys,
    random: deps.random,
    delaysMs: deps.deliveryDelaysMs,
    monitor: monitor("notifier", LATE_CLAIM_MS),
  });
  parts.add("background", notifier);
  const runner = await createRunner({
    folder: join(config.dataDir, "runners"),
    path: config.commandEnv["PATH"],
    pidNamespace: config.pidNamespace,
    log,
  });
  parts.add("background", { name: "runner", stopMs: 1_500, stop: () => runner.close() });
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
      graceMs: config.shutdownGraceMs,
      monitor: monitor(`worker of pool ${pool}`, LATE_CLAIM_MS),
      log,
    }),
  );
  parts.add("work", ...workers);
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
  { config, log, parts, guard }: Start,
  deps: Deps,
  others: {
    server: BoundServer;
    token: string;
    scheduler: Scheduler | undefined;
    retention: Retention;
  },
): Promise<void> {
  const { server, token, scheduler, retention } = others;
  const numbers = watchScheduler(deps, scheduler);
  const app = await buildApp({
    token,
    findGrant: deps.authenticator.findGrant,
    allowedHosts: config.allowedHosts,
    behindProxy: config.behindProxy,
    limits: { callsPerSecond: config.rateLimit, failedLogins: config.failedLoginLimit },
    logger: log,
    serverFactory: server.serverFactory,
    routes: routes(
      deps,
      createReadiness({ db: deps.db, health: parts.health, scheduler, numbers }),
      {
        hostTimezone: config.hostTimezone,
        defaultTimezone: config.defaultTimezone,
        refusal: guard.checkUrl,
      },
      { scheduler: numbers, deleted: retention.deleted },
    ),
  });
  parts.add("intake", {
    name: "api",
    stopMs: 2_000,
    // New calls are refused, and those under way are answered.
    stop: async (deadline) => void (await Promise.all([app.close(), server.stop(deadline)])),
  });
  server.open();
  log.info(`the API listens on ${server.url}`);
}

/** Says what retention has deleted; a sweep that found nothing is of no interest. */
function logSweep(log: Logger) {
  return (deleted: { runs: number; keys: number; ms: number }) => {
    const level = deleted.runs + deleted.keys > 0 ? "info" : "debug";
    log[level](deleted, "retention has deleted old history");
  };
}
