/** Tests of claim loops: several loops share a burst of messages, and none claims more than it has room for. */
import { expect, it } from "vitest";
import { newId } from "../../src/postgres/ids.ts";
import { startClaimLoop } from "../../src/queue/claim-loop.ts";
import { attemptQueue } from "../../src/queue/messages.ts";
import type { Message } from "../../src/queue/queue.ts";
import { testInfra } from "../support/test-infra.ts";
import { testMonitor } from "../support/test-monitor.ts";

const QUEUE = attemptQueue("default");

it("claims only as many messages of a burst as it has room for, and leaves the rest to others", async () => {
  await using infra = await testInfra();
  await using stack = new AsyncDisposableStack();
  const gate = Promise.withResolvers<void>();
  const handled: string[] = [];
  const failures: Error[] = [];
  const monitor = testMonitor((error) => void failures.push(error));
  const busy = [0, 0];
  for (const [index, concurrency] of [3, 4].entries()) {
    const handle = async (message: Message<unknown>) => {
      busy[index] = Number(busy[index]) + 1;
      await gate.promise;
      await infra.db.transaction((tx) => infra.queue.acknowledge(tx, message));
      handled.push(message.id);
    };
    const loop = startClaimLoop({
      signals: infra.signals,
      queueName: QUEUE,
      claim: (count) => infra.queue.claim(QUEUE, count),
      ...{ concurrency, handle, monitor, stopMs: 1_000 },
    });
    stack.defer(() => loop.stop());
  }
  stack.defer(() => gate.resolve());
  const ids = Array.from({ length: 10 }, newId);
  const messages = ids.map((id) => ({ id, data: {} }));
  await infra.db.transaction((tx) => infra.queue.send(tx, QUEUE, messages));

  await expect.poll(() => busy, { timeout: 10_000 }).toEqual([3, 4]);
  const active = await infra.db.prisma.$queryRaw`SELECT count(*)::int FROM pgboss.job WHERE state = 'active'`;
  expect(active).toEqual([{ count: 7 }]);
  gate.resolve();
  await expect.poll(() => handled.toSorted(), { timeout: 10_000 }).toEqual(ids);
  expect(failures).toEqual([]);
});
