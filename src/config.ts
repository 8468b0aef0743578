/** Parses the environment into the configuration; the only reader of process.env. */

import { BlockList, isIP } from "node:net";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";
import { OperatorError } from "./errors.ts";
import { DEFAULT_POOL, POOL_NAME } from "./jobs/rules/definition.ts";
import { parseDuration } from "./time/duration.ts";
import { isTimeZone } from "./time/zones.ts";

const ROLES = ["api", "scheduler", "worker"] as const;
export type Role = (typeof ROLES)[number];

/** The variables of the service's environment that commands inherit. They inherit no others. */
const INHERITED = ["PATH", "HOME", "LANG", "TZ", "USER", "SHELL"];

/** The PATH of commands when the service has none. */
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const list = (text: string) => text.split(/[\s,]+/).filter((part) => part !== "");
const wholeNumber = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.string().regex(/^\d+$/, error).transform(Number).pipe(z.number().min(min, error).max(max, error));
};
const PID_NAMESPACES = ["auto", "on", "off"] as const;
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

/** The addresses that only this machine can reach. */
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8);
LOOPBACK.addAddress("::1", "ipv6");

const Environment = z.object({
  HOST: z.string().min(1).default("127.0.0.1"),
  PORT: wholeNumber(0, 65_535).default(8081),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "must begin with postgres:// or postgresql://")
    .refine(isReadableUrl, {
      abort: true,
      error:
        "is not a valid URL: write it as postgres://user:password@host:5432/name, and percent-encode special " +
        "characters in the user and the password (%2F for /, %40 for @, %3A for :)",
    })
    // These options would replace those that every session needs.
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
  CHAIN_RUN_LIMIT: wholeNumber(1, 100_000).default(500),
  WORKER_POOLS: z
    .string()
    .default(DEFAULT_POOL)
    .transform(list)
    .pipe(z.array(z.string().regex(POOL_NAME, "must be names of small letters, digits, - and _")).min(1)),
  PID_NAMESPACE: z
    .enum(PID_NAMESPACES, { error: `must be one of ${PID_NAMESPACES.join(", ")}` })
    .default("auto"),
  SECRET_KEY_FILE: z.string().min(1).optional(),
  ADMIN_TOKEN: z.string().min(32, "must have at least 32 characters").optional(),
  ALLOWED_HOSTS: z.string().default("").transform(list),
  TLS_CERT: z.string().optional(),
  TLS_KEY: z.string().optional(),
  BEHIND_PROXY: z
    .enum(["true", "false"], "must be true or false")
    .default("false")
    .transform((text) => text === "true"),
  RATE_LIMIT: wholeNumber(1, 1_000_000).default(1_000),
  FAILED_LOGIN_LIMIT: wholeNumber(1, 1_000_000).default(5),
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

/** Used instead of zod's own check, whose message would quote the URL and so the password. */
function isReadableUrl(text: string): boolean {
  const url = URL.parse(text);
  try {
    return (
      url !== null &&
      [url.username, url.password, url.pathname].every((part) => decodeURIComponent(part) !== null)
    );
  } catch {
    return false; // a malformed escape such as %zz
  }
}

function wrongDuration(context: z.core.$RefinementCtx): never {
  context.issues.push({
    code: "custom",
    input: context.value,
    message: "must be a duration such as 25s or 2m",
  });
  return z.NEVER;
}

/** Returns errors in combinations of variables. They concern only the API, so other roles have none. */
function combinationErrors(env: z.output<typeof Environment>): string[] {
  const { HOST, TLS_CERT, TLS_KEY, BEHIND_PROXY, ROLES: roles } = env;
  if (!roles.includes("api")) return [];
  if (TLS_CERT !== undefined && TLS_KEY === undefined) return ["TLS_KEY must be set together with TLS_CERT."];
  if (TLS_KEY !== undefined && TLS_CERT === undefined) return ["TLS_CERT must be set together with TLS_KEY."];
  if (TLS_CERT !== undefined || BEHIND_PROXY || isLoopback(HOST)) return [];
  return [
    `HOST=${HOST} accepts connections from other machines, and tokens would cross the network in plain text: set ` +
      "TLS_CERT and TLS_KEY, or BEHIND_PROXY=true if only a TLS proxy can reach it, or leave HOST at 127.0.0.1.",
  ];
}

function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 6 ? "ipv6" : "ipv4");
}

/** Returns the Host header values that HOST itself implies: none for loopback and for a wildcard address. */
function ownNames(host: string): string[] {
  if (isLoopback(host) || host === "0.0.0.0" || host === "::") return [];
  return [isIP(host) === 6 ? `[${host}]` : host];
}

/** The configuration; paths are absolute and durations in ms. */
export interface Config {
  host: string;
  port: number;
  /** Undefined: embedded Postgres in dataDir. */
  databaseUrl: string | undefined;
  dataDir: string;
  jobsDir: string;
  roles: readonly Role[];
  workerConcurrency: number;
  /** The most runs in one chain. */
  chainRunLimit: number;
  /** Whether commands run in a PID namespace; auto: where that takes no capability away from them. */
  pidNamespace: (typeof PID_NAMESPACES)[number];
  /** The pools whose runs this process executes, `workerConcurrency` at a time of each. */
  workerPools: readonly string[];
  adminToken: string | undefined;
  /** The file of the keys that encrypt the secrets. */
  secretKeyFile: string;
  allowedHosts: readonly string[];
  /** The PEM files of the certificate and its key; undefined: plain HTTP. */
  tls: { certFile: string; keyFile: string } | undefined;
  /** Only a proxy can reach the API, and X-Forwarded-For names the caller. */
  behindProxy: boolean;
  /** The average number of calls per second that one token may make. */
  rateLimit: number;
  /** The number of wrong tokens per minute that one address may send. */
  failedLoginLimit: number;
  webhookAllowCidr: string;
  defaultTimezone: string;
  /** The time zone of this host. */
  hostTimezone: string;
  logLevel: string;
  shutdownGraceMs: number;
  /** The environment variables that commands inherit. */
  commandEnv: Readonly<Record<string, string>>;
  /** The name of this process in the history. */
  nodeName: string;
}

/** A variable of the environment has a wrong value. The message names it and says what it must be. */
export class ConfigError extends OperatorError {
  override readonly name = "ConfigError";
}

/**
 * Parses the environment. An empty value counts as unset.
 * @throws ConfigError that names every wrong variable
 */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  const parsed = Environment.safeParse(given);
  const errors = parsed.success
    ? combinationErrors(parsed.data)
    : parsed.error.issues.map(({ path, message }) => `${String(path[0])} ${message}.`);
  if (!parsed.success || errors.length > 0) {
    throw new ConfigError(`${errors.join("\n")}\nSee .env.example for the allowed values.`);
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
    chainRunLimit: env.CHAIN_RUN_LIMIT,
    pidNamespace: env.PID_NAMESPACE,
    workerPools: [...new Set(env.WORKER_POOLS)],
    adminToken: env.ADMIN_TOKEN,
    secretKeyFile: resolve(env.SECRET_KEY_FILE ?? join(env.DATA_DIR, "secret-keys")),
    allowedHosts: [...env.ALLOWED_HOSTS, ...ownNames(env.HOST)],
    tls:
      env.TLS_CERT && env.TLS_KEY
        ? { certFile: resolve(env.TLS_CERT), keyFile: resolve(env.TLS_KEY) }
        : undefined,
    behindProxy: env.BEHIND_PROXY,
    rateLimit: env.RATE_LIMIT,
    failedLoginLimit: env.FAILED_LOGIN_LIMIT,
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
