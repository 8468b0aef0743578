/** A run costs few round trips to the database, and fewer when many are in flight: batches form by themselves. */
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { openDatabase } from "../../src/postgres/client.ts";
import { startCountingProxy } from "../support/counting-proxy.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { startTestService } from "../support/test-service.ts";

/** The trips of polls and beats are measured for this long (ms), and left out. */
const IDLE_MS = 2_000;

it.each([
  { inFlight: 1, runs: 24, most: 12 },
  { inFlight: 16, runs: 240, most: 3 },
])("at most $most round trips a run with $inFlight in flight", { timeout: 60_000 }, async (load) => {
  await using database = await freshDatabase();
  await using proxy = await startCountingProxy(database.connectionString);
  await using service = await startTestService({
    DATABASE_URL: proxy.connectionString,
    WORKER_CONCURRENCY: "16",
    RATE_LIMIT: "100000",
  });
  const { client } = service;
  await client.putJob("quick", { command: ["true"] });
  // Not by way of the proxy: this is the test's own work.
  const db = openDatabase(database.connectionString, { maxConnections: 1 });
  await using _closing = { [Symbol.asyncDispose]: () => db.close() };
  const ended = () => db.prisma.run.count({ where: { state: "succeeded" } });
  const runAll = async (count: number, inFlight: number) => {
    const before = await ended();
    let sent = 0;
    for (let done = 0; done < count; done = (await ended()) - before) {
      const room = Math.min(inFlight - (sent - done), count - sent);
      sent += room;
      await Promise.all(Array.from({ length: room }, () => client.trigger("quick")));
    }
  };
  // Connections open, and statements are prepared.
  await runAll(load.inFlight * 3, load.inFlight);

  const idleFrom = proxy.roundTrips();
  await delay(IDLE_MS);
  const idlePerMs = (proxy.roundTrips() - idleFrom) / IDLE_MS;
  const [from, startedAt] = [proxy.roundTrips(), performance.now()];
  await runAll(load.runs, load.inFlight);
  const idle = idlePerMs * (performance.now() - startedAt);
  const perRun = (proxy.roundTrips() - from - idle) / load.runs;
  if (process.env["TEST_LOG"]) console.log(load.inFlight, perRun, idlePerMs * 1000);
  expect(perRun).toBeLessThanOrEqual(load.most);
});
