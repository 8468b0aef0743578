/** Tests of the configuration: .env.example is complete, errors name the variable, commands inherit few variables. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { describe, expect, it } from "vitest";
import { ConfigError, readConfig } from "../src/config.ts";

const read = (file: string) => readFile(join(import.meta.dirname, "..", file), "utf8");

it("finds every variable in .env.example with its default and a comment", async () => {
  const example = await read(".env.example");
  const [, declared = ""] = /z\.object\(\{\n(.*?)^\}\)/ms.exec(await read("src/config.ts")) ?? [];
  const names = [...declared.matchAll(/^ {2}([A-Z_]+):/gm)].map(([, name]) => name);

  const { POSTGRES_PASSWORD, ...given } = parseEnv(example);
  expect(POSTGRES_PASSWORD).toBe("");
  expect(Object.keys(given).sort()).toEqual(names.toSorted());
  expect(readConfig(given)).toEqual(readConfig({}));
  const unset = names.filter((name) => given[String(name)] === "");
  expect(unset).toEqual([
    ...["DATABASE_URL", "SECRET_KEY_FILE", "ADMIN_TOKEN", "ALLOWED_HOSTS", "TLS_CERT", "TLS_KEY"],
    "WEBHOOK_ALLOW_CIDR",
  ]);
  for (const name of names) expect(example).toMatch(new RegExp(`^# .+\\n${name}=`, "m"));
});

it.each([
  ["HOST", "127.0.0.2", { host: "127.0.0.2" }],
  ["PORT", "0", { port: 0 }],
  ["DATABASE_URL", "postgresql://u:p@db/carillon", { databaseUrl: "postgresql://u:p@db/carillon" }],
  ["DATA_DIR", "/var/lib/carillon", { dataDir: "/var/lib/carillon" }],
  ["DATA_DIR", "elsewhere", { dataDir: join(process.cwd(), "elsewhere") }],
  ["JOBS_DIR", "/srv/jobs", { jobsDir: "/srv/jobs" }],
  ["ROLES", "worker, api", { roles: ["worker", "api"] }],
  ["WORKER_CONCURRENCY", "1000", { workerConcurrency: 1_000 }],
  ["CHAIN_RUN_LIMIT", "20", { chainRunLimit: 20 }],
  ["PID_NAMESPACE", "on", { pidNamespace: "on" }],
  ["ADMIN_TOKEN", "x".repeat(32), { adminToken: "x".repeat(32) }],
  ["ALLOWED_HOSTS", "a.example b.example:8443", { allowedHosts: ["a.example", "b.example:8443"] }],
  ["BEHIND_PROXY", "true", { behindProxy: true }],
  ["BEHIND_PROXY", "false", { behindProxy: false }],
  ["RATE_LIMIT", "20", { rateLimit: 20 }],
  ["FAILED_LOGIN_LIMIT", "1", { failedLoginLimit: 1 }],
  ["WEBHOOK_ALLOW_CIDR", "10.0.0.0/8", { webhookAllowCidr: "10.0.0.0/8" }],
  ["DEFAULT_TIMEZONE", "Europe/Brussels", { defaultTimezone: "Europe/Brussels" }],
  ["LOG_LEVEL", "silent", { logLevel: "silent" }],
  ["SHUTDOWN_GRACE", "1m30s", { shutdownGraceMs: 90_000 }],
])("accepts %s=%s", (name, value, expected) => {
  expect(readConfig({ [name]: value })).toMatchObject(expected);
});

it.each([
  ["PORT", "65536"],
  ["PORT", "-1"],
  ["PORT", "http"],
  ["PORT", "8081 "],
  ["DATABASE_URL", "mysql://localhost/x"],
  ["DATABASE_URL", "localhost:5432"],
  ["DATABASE_URL", "postgres://u:pa/ss@h/db"],
  ["DATABASE_URL", "postgres://u:p%zz@h/db"],
  ["DATABASE_URL", "postgres://u:p@h:99999/db"],
  ["DATABASE_URL", "postgres://localhost/x?options=-c%20TimeZone%3DCET"],
  ["ROLES", "api,cook"],
  ["ROLES", ","],
  ["WORKER_CONCURRENCY", "0"],
  ["WORKER_CONCURRENCY", "1001"],
  ["WORKER_CONCURRENCY", "1.5"],
  ["PID_NAMESPACE", "yes"],
  ["ADMIN_TOKEN", "x".repeat(31)],
  ["BEHIND_PROXY", "yes"],
  ["RATE_LIMIT", "0"],
  ["FAILED_LOGIN_LIMIT", "none"],
  ["HOST", "0.0.0.0"],
  ["HOST", "::"],
  ["HOST", "192.0.2.7"],
  ["HOST", "128.0.0.1"],
  ["HOST", "::2"],
  ["HOST", "::ffff:192.0.2.7"],
  ["HOST", "localhost.example"],
  ["HOST", "0"],
  ["DEFAULT_TIMEZONE", "Mars/Olympus"],
  ["DEFAULT_TIMEZONE", "+02:00"],
  ["LOG_LEVEL", "loud"],
  ["SHUTDOWN_GRACE", "25"],
  ["SHUTDOWN_GRACE", "soon"],
])("refuses %s=%s with an error that names it", (name, value) => {
  expect(() => readConfig({ [name]: value })).toThrow(ConfigError);
  expect(() => readConfig({ [name]: value })).toThrow(new RegExp(`^${name}[ =]\\S`));
});

describe("HOST", () => {
  it.each(["127.0.0.1", "127.8.9.10", "::1", "localhost", "::ffff:127.0.0.1"])(
    "may be the loopback address %s",
    (HOST) => {
      expect(readConfig({ HOST })).toMatchObject({ host: HOST, allowedHosts: [] });
    },
  );

  it.each([
    [{ BEHIND_PROXY: "true" }, { behindProxy: true, tls: undefined }],
    [
      { TLS_CERT: "/c.pem", TLS_KEY: "k.pem" },
      { behindProxy: false, tls: { certFile: "/c.pem", keyFile: join(process.cwd(), "k.pem") } },
    ],
    [{ ROLES: "worker,scheduler" }, { tls: undefined }],
  ])("may be any address with %j", (given, expected) => {
    expect(readConfig({ HOST: "0.0.0.0", ...given })).toMatchObject({ host: "0.0.0.0", ...expected });
  });

  it("is added to the allowed hosts unless it is a wildcard address", () => {
    const allowed = (HOST: string) =>
      readConfig({ HOST, BEHIND_PROXY: "true", ALLOWED_HOSTS: "a.example" }).allowedHosts;
    expect(allowed("192.0.2.7")).toEqual(["a.example", "192.0.2.7"]);
    expect(allowed("2001:db8::7")).toEqual(["a.example", "[2001:db8::7]"]);
    expect(allowed("0.0.0.0")).toEqual(["a.example"]);
    expect(allowed("::")).toEqual(["a.example"]);
  });

  it("is refused beyond loopback without TLS, with an error that says what to set", () => {
    expect(() => readConfig({ HOST: "0.0.0.0", BEHIND_PROXY: "false" })).toThrow(
      /^HOST=0\.0\.0\.0 .*TLS_CERT and TLS_KEY, or BEHIND_PROXY=true/,
    );
  });
});

it.each([
  ["TLS_CERT", "TLS_KEY"],
  ["TLS_KEY", "TLS_CERT"],
])("refuses %s alone with an error that names %s", (given, missing) => {
  expect(() => readConfig({ [given]: "/a.pem" })).toThrow(new RegExp(`^${missing} must be set`));
});

it("lists every wrong variable on its own line", () => {
  expect(() => readConfig({ PORT: "x", LOG_LEVEL: "loud" })).toThrow(
    /^PORT .+\nLOG_LEVEL .+\nSee .env.example/,
  );
});

it("lets commands inherit only the listed variables", () => {
  const inherited = {
    PATH: "/bin",
    HOME: "/home/cook",
    LANG: "C.UTF-8",
    TZ: "Europe/Brussels",
    USER: "cook",
    SHELL: "/bin/sh",
  };
  const secrets = {
    ADMIN_TOKEN: "x".repeat(32),
    DATABASE_URL: "postgres://u:p@db/carillon",
    AWS_SECRET_ACCESS_KEY: "secret",
    NODE_OPTIONS: "--no-warnings",
    path: "/sbin",
  };
  expect(readConfig({ ...secrets, ...inherited }).commandEnv).toEqual(inherited);
  expect(readConfig({ ...secrets, PATH: "/bin", HOME: "" }).commandEnv).toEqual({ PATH: "/bin" });
  const { PATH, ...others } = readConfig(secrets).commandEnv;
  expect(PATH?.split(":")).toEqual(expect.arrayContaining(["/usr/local/bin", "/usr/bin", "/bin"]));
  expect(others).toEqual({});
});
