/** What verbs work on, with a database of its own and none of the long-running parts. */
import { join } from "node:path";
import { ADMIN, type Caller } from "../../src/access/rules/grants.ts";
import { type SecretKeys, secretKeys } from "../../src/access/secret-keys.ts";
import type { Infra } from "../../src/infra.ts";
import { DEFAULT_POOL } from "../../src/jobs/rules/definition.ts";
import { openDatabase } from "../../src/postgres/client.ts";
import { openQueue } from "../../src/queue/queue.ts";
import { openSignals } from "../../src/queue/signals.ts";
import { freshDatabase } from "./fresh-database.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { testMonitor } from "./test-monitor.ts";

/** May do everything. */
export const ADMINISTRATOR: Caller = {
  id: ADMIN,
  name: ADMIN,
  scopes: ["admin"],
  jobs: [],
  address: "127.0.0.1",
};

/** The zone of jobs that name none. */
export const UTC = { defaultTimezone: "UTC" };

/** Reports an error by throwing it. */
export const failAtOnce = (error: unknown): never => {
  throw error;
};

/** With the settings that starts and settlements of attempts read. */
export interface TestInfra extends Infra, AsyncDisposable {
  connectionString: string;
  secretKeys: SecretKeys;
  /** Places every delay in the middle of its jitter. */
  random: () => number;
  chainRunLimit: number;
}

/** `await using` closes it all. */
export async function testInfra(): Promise<TestInfra> {
  await using failure = new AsyncDisposableStack();
  const { connectionString } = failure.use(await freshDatabase());
  const folder = failure.use(await temporaryFolder());
  const db = openDatabase(connectionString, { maxConnections: 8 });
  failure.defer(() => db.close());
  const queue = await openQueue({ connectionString, pools: [DEFAULT_POOL], monitor: testMonitor() });
  failure.defer(() => queue.stop());
  const signals = openSignals(
    db,
    connectionString,
    testMonitor(() => undefined),
  );
  failure.defer(() => signals.stop());
  const stack = failure.move();
  return {
    ...{ db, queue, signals, connectionString },
    random: () => 0.5,
    chainRunLimit: 500,
    secretKeys: secretKeys(join(folder.path, "secret-keys")),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
