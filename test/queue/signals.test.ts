/** Tests of signals: they arrive only after the commit, and a reconnect reports that some may have been missed. */
import { expect, it } from "vitest";
import { startClaimLoop } from "../../src/queue/claim-loop.ts";
import { DELIVERY_QUEUE } from "../../src/queue/messages.ts";
import { openSignals, publish, type Signal } from "../../src/queue/signals.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { type TestInfra, testInfra } from "../support/test-infra.ts";
import { testMonitor } from "../support/test-monitor.ts";

/** Collects signals; `until` resolves with the first that matches. */
function listen(infra: Pick<TestInfra, "signals">) {
  const heard: Signal[] = [];
  let look = () => {};
  infra.signals.subscribe((signal) => {
    heard.push(signal);
    look();
  });
  const until = (fits: (signal: Signal) => boolean) =>
    new Promise<Signal>((resolve) => {
      look = () => {
        const found = heard.find(fits);
        if (found !== undefined) resolve(found);
      };
      look();
    });
  return { heard, until };
}

const LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'";

it("delivers signals of committed transactions, and none of rolled back ones", async () => {
  await using infra = await testInfra();
  const { heard, until } = listen(infra);
  await until((signal) => signal.type === "missed");
  await infra.db
    .transaction(async (tx) => {
      publish(tx, { type: "run_changed", run: "rolled back" });
      throw new Error("no");
    })
    .catch(() => undefined);
  await infra.db.prisma.$queryRaw`SELECT pg_notify('carillon', 'not a signal')::text`;
  await infra.db.transaction(async (tx) => publish(tx, { type: "run_changed", run: "committed" }));
  await until((signal) => signal.type === "run_changed");
  expect(heard.slice(1)).toEqual([{ type: "run_changed", run: "committed" }]);
});

it("reports that signals may have been missed after a reconnect", async () => {
  await using infra = await testInfra();
  const { heard, until } = listen(infra);
  await until((signal) => signal.type === "missed");
  heard.length = 0;
  await infra.db.prisma.$queryRawUnsafe(
    `SELECT pg_terminate_backend(pid) FROM (${LISTENERS} AND datname = current_database() AND pid <> pg_backend_pid()) l`,
  );
  await until((signal) => signal.type === "missed");
  await infra.db.transaction(async (tx) => publish(tx, { type: "run_changed", run: "after" }));
  expect(await until((signal) => signal.type === "run_changed")).toMatchObject({ run: "after" });
});

it("notices that the network silently dropped its connection, and reconnects", async () => {
  await using infra = await testInfra();
  await using proxy = await startCutProxy(infra.connectionString);
  const errors: Error[] = [];
  const monitor = testMonitor((error) => void errors.push(error));
  const signals = openSignals(infra.db, proxy.connectionString, monitor, { pingMs: 100, deadlineMs: 200 });
  const { heard, until } = listen({ signals });
  await until((signal) => signal.type === "missed");
  heard.length = 0;
  proxy.forget();
  await until((signal) => signal.type === "missed");
  await infra.db.transaction(async (tx) => publish(tx, { type: "run_changed", run: "after" }));
  expect(await until((signal) => signal.type === "run_changed")).toMatchObject({ run: "after" });
  expect(errors).toHaveLength(1);
  await signals.stop();
});

it("finds messages by polling when no signal comes (promise 7)", async () => {
  await using infra = await testInfra();
  const deaf = { ...infra.signals, subscribe: () => () => undefined };
  const claimed = Promise.withResolvers<string>();
  const loop = startClaimLoop({
    signals: deaf,
    queueName: DELIVERY_QUEUE,
    claim: (count) => infra.queue.claim(DELIVERY_QUEUE, count),
    concurrency: 1,
    handle: async (message) => claimed.resolve(message.id),
    monitor: testMonitor(claimed.reject),
    stopMs: 1_000,
  });
  const id = "01890000-0000-7000-8000-000000000001";
  await infra.db.transaction((tx) => infra.queue.send(tx, DELIVERY_QUEUE, [{ id, data: {} }]));
  expect(await claimed.promise).toBe(id);
  await loop.stop();
});
