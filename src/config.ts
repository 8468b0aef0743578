/** The environment, parsed once: the only reader of process.env. */
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { z } from "zod";
import { parseDuration } from "./core/duration.ts";
import { OperatorError } from "./core/errors.ts";
import { DEFAULT_POOL, POOL_NAME } from "./core/job.ts";
import { isTimeZone } from "./core/zone.ts";

const ROLES = ["api", "scheduler", "worker"] as const;
export type Role = (typeof ROLES)[number];

/** What commands inherit of the service's environment; nothing else of it reaches them. */
const INHERITED = ["PATH", "HOME", "LANG", "TZ", "USER", "SHELL"];

/** Where commands are looked for when the service has no PATH of its own. */
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const list = (text: string) => text.split(/[\s,]+/).filter((part) => part !== "");
const wholeNumber = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.string().regex(/^\d+$/, error).transform(Number).pipe(z.number().min(min, error).max(max, error));
};
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

const Environment = z.object({
  HOST: z.string().min(1).default("127.0.0.1"),
  PORT: wholeNumber(0, 65_535).default(8081),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "must begin with postgres:// or postgresql://")
    // It would replace the options that every session needs.
    .refine((url) => !new URL(url).searchParams.has("options"), "must not set options")
    .optional(),
  DATA_DIR: z.string().min(1).default("./data"),
  JOBS_DIR: z.string().min(1).default("."),
  ROLES: z
    .string()
    .default(ROLES.join(","))
    .transform(list)
    .pipe(z.array(z.enum(ROLES, { error: `must be a list of ${ROLES.join(", ")}` })).min(1)),
  WORKER_CONCURRENCY: wholeNumber(1, 1_000).default(10),
  WORKER_POOLS: z
    .string()
    .default(DEFAULT_POOL)
    .transform(list)
    .pipe(z.array(z.string().regex(POOL_NAME, "must be names of small letters, digits, - and _")).min(1)),
  ADMIN_TOKEN: z.string().min(32, "must have at least 32 characters").optional(),
  ALLOWED_HOSTS: z.string().default("").transform(list),
  WEBHOOK_ALLOW_CIDR: z.string().default(""),
  DEFAULT_TIMEZONE: z
    .string()
    .refine(isTimeZone, "must be an IANA time zone such as Europe/Brussels")
    .default("UTC"),
  LOG_LEVEL: z.enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(", ")}` }).default("info"),
  SHUTDOWN_GRACE: z
    .string()
    .default("25s")
    .transform((text, context) => parseDuration(text) ?? wrongDuration(context)),
});

function wrongDuration(context: z.core.$RefinementCtx): never {
  context.issues.push({
    code: "custom",
    input: context.value,
    message: "must be a duration such as 25s or 2m",
  });
  return z.NEVER;
}

/** The configuration; paths are absolute and durations in ms. */
export interface Config {
  host: string;
  port: number;
  /** Unset: embedded Postgres in dataDir. */
  databaseUrl: string | undefined;
  dataDir: string;
  jobsDir: string;
  roles: readonly Role[];
  workerConcurrency: number;
  /** The pools whose runs this process runs; so many commands at once of each. */
  workerPools: readonly string[];
  adminToken: string | undefined;
  allowedHosts: readonly string[];
  webhookAllowCidr: string;
  defaultTimezone: string;
  /** The zone that the clocks of this host show. */
  hostTimezone: string;
  logLevel: string;
  shutdownGraceMs: number;
  /** What commands inherit. */
  commandEnv: Readonly<Record<string, string>>;
  /** This process, as the history names it. */
  nodeName: string;
}

/** A value in the environment is wrong; the message names it and says what it must be. */
export class ConfigError extends OperatorError {
  override readonly name = "ConfigError";
}

/** Adds what `.env` in the current folder says to the environment; what is set already stays. */
export function loadEnvFile(): void {
  if (existsSync(".env")) process.loadEnvFile(".env");
}

/** Parses the environment. Throws ConfigError. An empty value counts as unset. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    const wrong = parsed.error.issues.map(({ path, message }) => `${String(path[0])} ${message}.`);
    throw new ConfigError(`${wrong.join("\n")}\nSee .env.example for what it may be.`);
  }
  const env = parsed.data;
  return {
    host: env.HOST,
    port: env.PORT,
    databaseUrl: env.DATABASE_URL,
    dataDir: resolve(env.DATA_DIR),
    jobsDir: resolve(env.JOBS_DIR),
    roles: env.ROLES,
    workerConcurrency: env.WORKER_CONCURRENCY,
    workerPools: [...new Set(env.WORKER_POOLS)],
    adminToken: env.ADMIN_TOKEN,
    allowedHosts: env.ALLOWED_HOSTS,
    webhookAllowCidr: env.WEBHOOK_ALLOW_CIDR,
    defaultTimezone: env.DEFAULT_TIMEZONE,
    hostTimezone: given["TZ"] ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    logLevel: env.LOG_LEVEL,
    shutdownGraceMs: env.SHUTDOWN_GRACE,
    commandEnv: commandEnv(given),
    nodeName: `${hostname()}:${process.pid}`,
  };
}

function commandEnv(given: Record<string, string | undefined>): Record<string, string> {
  const inherited = INHERITED.flatMap((name) => (given[name] ? [[name, given[name]]] : []));
  return { PATH: DEFAULT_PATH, ...Object.fromEntries(inherited) };
}
