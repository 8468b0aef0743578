/** One Carillon process: its parts started in order, and stopped in reverse. */
import { join } from "node:path";
import pLimit from "p-limit";
import type { Logger } from "pino";
import { createAuthenticator } from "./access/authenticate.ts";
import { type SecretKeys, secretKeys } from "./access/secret-keys.ts";
import { type AdminToken, adminToken } from "./access/tokens.ts";
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
import type { Infra } from "./infra.ts";
import { createMonitor, createParts, type Monitor, type Parts } from "./lifecycle.ts";
import { createLogReader } from "./logs/reader.ts";
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
  secretKeys: SecretKeys;
  deliveryDelaysMs: readonly number[];
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
    const start: Start = {
      ...{ config, log, parts, guard: webhookGuard(config), monitor },
      secretKeys: secretKeys(config.secretKeyFile),
      deliveryDelaysMs: overrides.deliveryDelaysMs ?? DELIVERY_DELAYS_MS,
    };
    const server = await bindPort(start);
    const token = await adminToken(config.adminToken, config.dataDir);
    const infra = await openInfra(start, onFatal);
    const background = startBackground(start, infra);
    if (config.roles.includes("worker")) await startWork(start, infra);
    if (server !== undefined) {
      const own = { server, token: token.token, closing: closing.signal, ...background };
      await startApi(start, infra, own);
    }
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

async function openInfra(start: Start, onFatal: (error: Error) => void): Promise<Infra> {
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
  return { db, queue, signals };
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
  infra: Infra,
): { retention: Retention; scheduler: Scheduler | undefined } {
  const recovery = startRecovery(infra, monitor("recovery"));
  const settling = startSettlingLost(infra, {
    random: Math.random,
    monitor: monitor("lost attempts", LATE_CLAIM_MS),
  });
  const retention = startRetention(infra.db, monitor("retention"), logSweep(log));
  parts.add("background", recovery, settling);
  parts.add("intake", retention);
  if (!config.roles.includes("scheduler")) return { retention, scheduler: undefined };
  const scheduler = startScheduler(infra, {
    defaultTimezone: config.defaultTimezone,
    monitor: monitor("scheduler", LATE_BEAT_MS),
    log,
  });
  parts.add("intake", scheduler);
  return { retention, scheduler };
}

/** The notifier, the runner, and a worker for each pool. */
async function startWork(start: Start, infra: Infra): Promise<void> {
  const { config, log, parts, guard, secretKeys, monitor } = start;
  const send = createSender({ guard, userAgent: "Carillon" });
  const notifier = startNotifier(infra, {
    send,
    secretKeys,
    random: Math.random,
    delaysMs: start.deliveryDelaysMs,
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
    startWorker(infra, {
      name: config.nodeName,
      pool,
      concurrency: config.workerConcurrency,
      baseEnv: config.commandEnv,
      jobsDir: config.jobsDir,
      runner,
      secretKeys,
      random: Math.random,
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
  { config, log, parts, guard, secretKeys }: Start,
  infra: Infra,
  own: {
    server: BoundServer;
    token: string;
    closing: AbortSignal;
    scheduler: Scheduler | undefined;
    retention: Retention;
  },
): Promise<void> {
  const { db } = infra;
  const { server, token, closing, scheduler, retention } = own;
  const { defaultTimezone, hostTimezone } = config;
  const authenticator = createAuthenticator(db);
  const numbers = watchScheduler(db, scheduler, { defaultTimezone });
  const app = await buildApp({
    token,
    findGrant: authenticator.findGrant,
    allowedHosts: config.allowedHosts,
    behindProxy: config.behindProxy,
    limits: { callsPerSecond: config.rateLimit, failedLogins: config.failedLoginLimit },
    logger: log,
    serverFactory: server.serverFactory,
    routes: routes(infra, {
      ...{ defaultTimezone, secretKeys, authenticator, closing },
      reader: createLogReader(infra, { closing }),
      advice: { hostTimezone, defaultTimezone, refusal: guard.checkUrl },
      readiness: createReadiness({ db, health: parts.health, scheduler, numbers }),
      numbers: { scheduler: numbers, deleted: retention.deleted },
    }),
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
