/** A whole Carillon in the test's own process, on a database of its own, and a client for its API. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { readConfig } from "../../src/config.ts";
import { openDatabase } from "../../src/postgres/client.ts";
import { type Overrides, startService } from "../../src/service.ts";
import { type Client, createClient } from "./api-client.ts";
import { freshDatabase, type TestDatabase } from "./fresh-database.ts";

export interface TestService extends AsyncDisposable {
  url: string;
  token: string;
  client: Client;
  database: TestDatabase;
  /** What the service's own tables hold. */
  prisma: ReturnType<typeof openDatabase>["prisma"];
  /** Where commands run. */
  jobsDir: string;
}

/** Starts all roles on a free port; webhooks to 127.0.0.1 are allowed. `await using` stops it. */
export async function startTestService(
  environment: Record<string, string> = {},
  overrides: Overrides = {},
): Promise<TestService> {
  await using failure = new AsyncDisposableStack();
  const database = environment["DATABASE_URL"] ? undefined : failure.use(await freshDatabase());
  const jobsDir = await mkdtemp(join(tmpdir(), "carillon-service-"));
  failure.defer(() => rm(jobsDir, { recursive: true, force: true }));
  const config = readConfig({
    PATH: process.env["PATH"],
    PORT: "0",
    DATABASE_URL: database?.connectionString,
    DATA_DIR: join(jobsDir, "data"),
    JOBS_DIR: jobsDir,
    WEBHOOK_ALLOW_CIDR: "127.0.0.1/32",
    SHUTDOWN_GRACE: "0s",
    FAILED_LOGIN_LIMIT: "1000000",
    ...environment,
  });
  const log = pino({ level: process.env["TEST_LOG"] ?? "silent" });
  const service = await startService(config, log, (error) => log.fatal(error), overrides);
  failure.defer(() => service.stop());
  const db = openDatabase(config.databaseUrl ?? "", { maxConnections: 2 });
  failure.defer(() => db.close());
  const url = service.url ?? "";
  const { token } = service.token;
  const stack = failure.move();
  return {
    url,
    token,
    client: createClient(url, token),
    database: database ?? ({} as TestDatabase),
    prisma: db.prisma,
    jobsDir,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
