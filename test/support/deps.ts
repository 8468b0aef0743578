/** What the use cases need, on a database of its own and with no role at work. */
import { join } from "node:path";
import { createAuthenticator } from "../../src/access/authenticate.ts";
import { secretKeys } from "../../src/access/secret-keys.ts";
import type { Deps } from "../../src/deps.ts";
import { DEFAULT_POOL } from "../../src/jobs/rules/definition.ts";
import { openDatabase } from "../../src/postgres/client.ts";
import { openQueue } from "../../src/queue/queue.ts";
import { openSignals } from "../../src/queue/signals.ts";
import { freshDatabase } from "./database.ts";
import { temporaryFolder } from "./folder.ts";
import { testMonitor } from "./monitor.ts";

export interface TestDeps extends Deps, AsyncDisposable {
  connectionString: string;
}

/** `await using` closes it all. */
export async function testDeps(): Promise<TestDeps> {
  await using failure = new AsyncDisposableStack();
  const { connectionString } = failure.use(await freshDatabase());
  const folder = failure.use(await temporaryFolder());
  const db = openDatabase(connectionString, { maxConnections: 8 });
  failure.defer(() => db.close());
  const queue = await openQueue({ connectionString, pools: [DEFAULT_POOL], monitor: testMonitor() });
  failure.defer(() => queue.stop());
  const signals = openSignals(
    connectionString,
    testMonitor(() => undefined),
  );
  failure.defer(() => signals.stop());
  const stack = failure.move();
  return {
    db,
    queue,
    signals,
    connectionString,
    defaultTimezone: "UTC",
    random: () => 0.5,
    deliveryDelaysMs: [0, 0, 0],
    closing: new AbortController().signal,
    secretKeys: secretKeys(join(folder.path, "secret-keys")),
    authenticator: createAuthenticator(db),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
