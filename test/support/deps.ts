/** What the use cases need, on a database of its own and with no role at work. */
import { join } from "node:path";
import { DEFAULT_POOL } from "../../src/core/job.ts";
import { openDatabase } from "../../src/db/client.ts";
import { secretKeys } from "../../src/db/secret-keys.ts";
import { SESSION_OPTIONS } from "../../src/db/session.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { openSignals } from "../../src/engine/signals.ts";
import type { Deps } from "../../src/orchestrator/deps.ts";
import { freshDatabase } from "./database.ts";
import { temporaryFolder } from "./folder.ts";

export interface TestDeps extends Deps, AsyncDisposable {
  connectionString: string;
}

/** `await using` closes it all. */
export async function testDeps(): Promise<TestDeps> {
  await using failure = new AsyncDisposableStack();
  const { connectionString } = failure.use(await freshDatabase());
  const folder = failure.use(await temporaryFolder());
  const onError = (error: Error) => {
    throw error;
  };
  const db = openDatabase(connectionString, 8);
  failure.defer(() => db.close());
  const sessionOptions = SESSION_OPTIONS;
  const engine = await openEngine({ connectionString, sessionOptions, pools: [DEFAULT_POOL], onError });
  failure.defer(() => engine.stop());
  const signals = openSignals(connectionString, () => undefined);
  failure.defer(() => signals.close());
  const stack = failure.move();
  return {
    db,
    engine,
    signals,
    connectionString,
    defaultTimezone: "UTC",
    random: () => 0.5,
    deliveryDelaysMs: [0, 0, 0],
    closing: new AbortController().signal,
    secretKeys: secretKeys(join(folder.path, "secret-keys")),
    knownTokens: new Map(),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
