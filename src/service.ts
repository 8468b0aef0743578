/** Starts the parts of one Carillon process in order, and stops them in reverse order. */
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
import {
  createMonitor,
  createParts,
  healthOnly,
  type Monitor,
  type Parts,
  reportStart,
} from "./lifecycle.ts";
import { createLogReader } from "./logs/reader.ts";
import { openDatabase } from "./postgres/client.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./postgres/embedded/embedded-postgres.ts";
import { applyMigrations } from "./postgres/migrations.ts";
import { RENEW_DEADLINE_MS } from "./queue/messages.ts";
import { openQueue } from "./queue/queue.ts";
import { openSignals } from "./queue/signals.ts";
import { startRecovery, startSettlingLost } from "./runs/recover.ts";
import { type Retention, startRetention } from "./runs/retain.ts";
import { watchScheduler } from "./scheduler/overdue.ts";
import { type Scheduler, startScheduler } from "./scheduler/scheduler.ts";
import { createRunner } from "./worker/runner-supervisor.ts";
import { startWorker } from "./worker/worker.ts";

/** A part that claims messages is late when its last successful claim is longer ago than this (ms). */
const LATE_CLAIM_MS = 15_000;
/** The scheduler is late when its last successful beat is longer ago than this (ms). */
const LATE_BEAT_MS = 5_000;
/** How many of the database's ten connections the workers may use at one time to wait for locked runs. */
const WORKER_CONNECTIONS = 6;

/** A running service. */
export interface Service {
  /** The address of the API; undefined without the role api. */
  url: string | undefined;
  token: AdminToken;
  /** Drains and stops. Running commands get the configured grace. Resolves at most 15 s after the grace. */
  stop(): Promise<void>;
}

/** Settings that only tests change. */
export interface Overrides {
  deliveryDelaysMs?: readonly number[];
}

/** What the functions below need to start the parts. */
interface StartContext {
  config: Config;
  log: Logger;
  parts: Parts;
  guard: AddressGuard;
  secretKeys: SecretKeys;
  deliveryDelaysMs: readonly number[];
  /** Aborted as soon as the service begins to stop. */
  closing: AbortSignal;
  /** Says what the start waits for from now on. */
  waitsFor(what: string): void;
  /** Creates the monitor of a part; `lateAfterMs` as in `createMonitor`. */
  monitor(name: string, lateAfterMs?: number): Monitor;
}

/**
 * Starts the roles of the configuration. Binds the port first: when it is in use, nothing else has started.
 * @param onFatal called when the service cannot continue because its embedded Postgres has exited
 * @throws ConfigError or OperatorError with a message for the operator; parts that had started are stopped
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
  using report = reportStart(log);
  const { waitsFor } = report;
  try {
    const context: StartContext = {
      ...{ config, log, parts, guard: webhookGuard(config), monitor, waitsFor, closing: closing.signal },
      secretKeys: secretKeys(config.secretKeyFile),
      deliveryDelaysMs: overrides.deliveryDelaysMs ?? DELIVERY_DELAYS_MS,
    };
    const server = await bindPort(context);
    const token = await adminToken(config.adminToken, config.dataDir);
    const { infra, databaseUid } = await openInfra(context, onFatal);
    const background = startBackground(context, infra);
    if (config.roles.includes("worker")) await startWork(context, infra, databaseUid);
    if (server !== undefined) {
      await startApi(context, infra, { server, token: token.token, ...background });
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

/**
 * Binds the port of the API. In a normal stop the API part closes it; after a failed start the storage stage does.
 */
async function bindPort({ config, parts }: StartContext): Promise<BoundServer | undefined> {
  const { roles, host, port, tls } = config;
  if (!roles.includes("api")) return undefined;
  const server = await bindServer({ host, port }, { tls: tls && (await readTls(tls.certFile, tls.keyFile)) });
  parts.add("storage", server);
  return server;
}

/** Connects to the database, or starts the embedded one, and applies migrations. */
async function openInfra(
  context: StartContext,
  onFatal: (error: Error) => void,
): Promise<{ infra: Infra; databaseUid: number | undefined }> {
  const { config, log, parts, monitor, waitsFor } = context;
  const embedded = config.databaseUrl === undefined ? await embedPostgres(context, onFatal) : undefined;
  const connectionString = config.databaseUrl ?? embedded?.connectionString ?? "";
  const applied = await applyMigrations(connectionString, undefined, waitsFor);
  if (applied.length > 0) log.info({ migrations: applied }, "applied migrations");
  const db = openDatabase(connectionString);
  parts.add("connections", { name: "database", stopMs: 1_000, stop: () => db.close() });
  const pools = config.workerPools;
  waitsFor("the tables of the queue");
  const queue = await openQueue({ connectionString, pools, monitor: monitor("queue") });
  const signals = openSignals(db, connectionString, monitor("signals"));
  parts.add("connections", queue, signals);
  return { infra: { db, queue, signals }, databaseUid: embedded?.ownUid };
}

async function embedPostgres(
  { config, log, parts, waitsFor }: StartContext,
  onFatal: (error: Error) => void,
): Promise<EmbeddedPostgres> {
  waitsFor("the embedded Postgres");
  const onLog = (line: string) => log.debug({ postgres: line });
  const postgres = await startEmbeddedPostgres({ dataDir: config.dataDir, onLog, onExit: onFatal });
  parts.add("storage", { name: "embedded Postgres", stopMs: 2_000, stop: () => postgres.stop() });
  return postgres;
}

/** Starts the parts that every node has, and the scheduler when the node has that role. */
function startBackground(
  { config, log, parts, monitor }: StartContext,
  infra: Infra,
): { retention: Retention; scheduler: Scheduler | undefined } {
  const supervision = infra.queue.supervise(monitor("maintenance of the queue"));
  const recovery = startRecovery(infra, monitor("recovery"));
  const settling = startSettlingLost(infra, {
    random: Math.random,
    chainRunLimit: config.chainRunLimit,
    monitor: monitor("lost attempts", LATE_CLAIM_MS),
  });
  const retention = startRetention(infra.db, monitor("retention"), logSweep(log));
  parts.add("background", supervision, recovery, settling);
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

/** Starts the parts of the role worker: the notifier, the runner, and a worker for each pool. */
async function startWork(
  context: StartContext,
  infra: Infra,
  databaseUid: number | undefined,
): Promise<void> {
  const { config, log, parts, guard, secretKeys, monitor } = context;
  const send = createSender({ guard, userAgent: "Carillon" });
  const notifier = startNotifier(infra, {
    send,
    secretKeys,
    random: Math.random,
    delaysMs: context.deliveryDelaysMs,
    monitor: monitor("notifier", LATE_CLAIM_MS),
  });
  parts.add("background", notifier);
  context.waitsFor("the runner");
  const runner = await createRunner({
    folder: join(config.dataDir, "runners"),
    path: config.commandEnv["PATH"],
    pidNamespace: config.pidNamespace,
    log,
  });
  parts.add("background", { name: "runner", stopMs: 1_500, stop: () => runner.close() });
  const limitDatabase = pLimit(WORKER_CONNECTIONS);
  for (const pool of config.workerPools) {
    const renewals = monitor(`renewals of pool ${pool}`, RENEW_DEADLINE_MS);
    const worker = startWorker(infra, {
      name: config.nodeName,
      pool,
      concurrency: config.workerConcurrency,
      baseEnv: config.commandEnv,
      jobsDir: config.jobsDir,
      refusedUid: databaseUid,
      runner,
      secretKeys,
      random: Math.random,
      chainRunLimit: config.chainRunLimit,
      limitDatabase,
      graceMs: config.shutdownGraceMs,
      closing: context.closing,
      monitor: monitor(`worker of pool ${pool}`, LATE_CLAIM_MS),
      renewals,
      log,
    });
    parts.add("work", worker, healthOnly(renewals));
  }
}

/** @throws ConfigError when WEBHOOK_ALLOW_CIDR is not valid */
function webhookGuard(config: Config): AddressGuard {
  try {
    return createAddressGuard(parseCidrs(config.webhookAllowCidr));
  } catch (error) {
    throw new ConfigError(`WEBHOOK_ALLOW_CIDR: ${(error as Error).message}`);
  }
}

/** Builds the API and opens the bound port for calls. */
async function startApi(
  { config, log, parts, guard, secretKeys, closing }: StartContext,
  infra: Infra,
  api: {
    server: BoundServer;
    token: string;
    scheduler: Scheduler | undefined;
    retention: Retention;
  },
): Promise<void> {
  const { db } = infra;
  const { server, token, scheduler, retention } = api;
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
    // Refuses new calls and answers current ones.
    stop: async (deadline) => void (await Promise.all([app.close(), server.stop(deadline)])),
  });
  server.open();
  log.info(`the API listens on ${server.url}`);
}

/** Creates the function that logs what a retention sweep deleted, at level debug when that was nothing. */
function logSweep(log: Logger) {
  return (deleted: { runs: number; keys: number; ms: number }) => {
    const level = deleted.runs + deleted.keys > 0 ? "info" : "debug";
    log[level](deleted, "retention has deleted old history");
  };
}
