/** A worker holds its claims from the first moment, starts each attempt once, and limits its use of the database. */
import { setImmediate as soon } from "node:timers/promises";
import pLimit from "p-limit";
import pino from "pino";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Infra } from "../../src/infra.ts";
import { CommitUnknown } from "../../src/postgres/client.ts";
import { RENEW_DEADLINE_MS, RENEW_EVERY_MS } from "../../src/queue/messages.ts";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import type { CommandEnd, CommandSpec } from "../../src/worker/remote-command.ts";
import { startWorker } from "../../src/worker/worker.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, type TestInfra, testInfra } from "../support/test-infra.ts";
import { testMonitor } from "../support/test-monitor.ts";

const SOON = { timeout: 10_000, interval: 20 };
const PLACES = 3;
const AWAY = Object.assign(new Error("the line broke"), { code: "P1017" });

let infra: TestInfra;
/** Cleanup that runs before the database is dropped. */
let ending: AsyncDisposableStack;
beforeEach(async () => {
  infra = await testInfra();
  ending = new AsyncDisposableStack();
  await putJob(infra, ADMINISTRATOR, jobDefinition());
}, 30_000);
afterEach(async () => {
  vi.useRealTimers();
  await ending?.disposeAsync();
  await infra?.[Symbol.asyncDispose]();
});

/** Starts a worker whose commands end at once; returns the commands it was asked to run. */
function work(more: Partial<Infra>, end: CommandEnd = { kind: "exited", code: 0 }): CommandSpec[] {
  const specs: CommandSpec[] = [];
  const worker = startWorker(
    { ...infra, ...more },
    {
      name: "worker",
      pool: "default",
      concurrency: 40,
      baseEnv: {},
      jobsDir: "/",
      secretKeys: infra.secretKeys,
      chainRunLimit: 500,
      random: infra.random,
      log: pino({ level: process.env["TEST_LOG"] ?? "silent" }),
      limitDatabase: pLimit(PLACES),
      graceMs: 0,
      monitor: testMonitor(() => undefined),
      renewals: testMonitor(() => undefined),
      runner: {
        start(spec) {
          specs.push(spec);
          const nothing = () => undefined;
          const ended = { started: Promise.resolve(undefined), finished: Promise.resolve(end) };
          return { ...ended, kill: nothing, extendLease: nothing };
        },
        pid: async () => 0,
        close: async () => undefined,
      },
    },
  );
  ending.defer(() => worker.stop());
  return specs;
}

/** A database whose transactions run inside `around`. */
function transactions(around: (run: () => Promise<unknown>) => Promise<unknown>): Infra["db"] {
  const transaction: Infra["db"]["transaction"] = async (inside) =>
    (await around(() => infra.db.transaction(inside))) as Awaited<ReturnType<typeof inside>>;
  const sqlTransaction: Infra["db"]["sqlTransaction"] = async (inside) =>
    (await around(() => infra.db.sqlTransaction(inside))) as Awaited<ReturnType<typeof inside>>;
  return { ...infra.db, transaction, sqlTransaction };
}

const attempts = () => infra.db.prisma.attempt.findMany({ select: { state: true, reason: true } });

it("keeps a claim while its run is locked for longer than a claim is valid", async () => {
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  const [locked, unlock] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const lock = infra.db.transaction(async (tx) => {
    await tx.$queryRaw`SELECT 1 AS locked FROM run WHERE id = ${id}::uuid FOR UPDATE`;
    locked.resolve();
    await unlock.promise;
  });
  ending.defer(() => lock);
  await locked.promise;
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  let renewals = 0;
  const renew: Infra["queue"]["renew"] = async (queueName, messages) => {
    const renewed = await infra.queue.renew(queueName, messages);
    renewals += renewed.size;
    return renewed;
  };
  const begun = vi.fn();
  const db = transactions((run) => {
    begun();
    return run();
  });
  const specs = work({ queue: { ...infra.queue, renew }, db });
  ending.defer(() => unlock.resolve());
  // The claim, and the start that waits for the lock.
  await expect.poll(() => begun.mock.calls.length, SOON).toBe(2);
  for (let ms = 0, renewed = 1; ms <= RENEW_DEADLINE_MS; ms += RENEW_EVERY_MS, renewed++) {
    await vi.advanceTimersByTimeAsync(RENEW_EVERY_MS);
    await expect.poll(() => renewals, SOON).toBeGreaterThanOrEqual(renewed);
    await soon();
  }
  unlock.resolve();
  await lock;
  await expect.poll(attempts, SOON).toEqual([{ state: "succeeded", reason: null }]);
  expect(specs[0]?.leaseMs).toBeGreaterThan(RENEW_EVERY_MS);
});

it("runs 40 commands at once with one transaction at a time for starts, and one for settlements", async () => {
  await Promise.all(Array.from({ length: 40 }, () => triggerRun(infra, ADMINISTRATOR, { job: "job" })));
  let [now, most] = [0, 0];
  const db = transactions(async (run) => {
    most = Math.max(most, ++now);
    return run().finally(() => now--);
  });
  const specs = work({ db });
  const ended = () => infra.db.prisma.run.count({ where: { state: "succeeded" } });
  await expect.poll(ended, SOON).toBe(40);
  expect(specs).toHaveLength(40);
  expect(most).toBeLessThanOrEqual(2);
});

it.each(["before", "after"] as const)(
  "starts and settles an attempt once when the database fails %s each commit",
  async (when) => {
    await triggerRun(infra, ADMINISTRATOR, { job: "job" });
    let calls = 0;
    const db = transactions(async (run) => {
      const call = calls++;
      // The first claim with its start, and the first settlement.
      if (when === "before" && (call === 0 || call === 2)) throw AWAY;
      const result = await run();
      if (when === "after" && call === 0) throw new CommitUnknown("the line broke", { cause: AWAY });
      return result;
    });
    const specs = work({ db });
    await expect.poll(attempts, SOON).toEqual([{ state: "succeeded", reason: null }]);
    expect(specs).toHaveLength(1);
  },
);

it("records why an attempt was lost", async () => {
  await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  work({}, { kind: "runner_died" });
  await expect.poll(attempts, SOON).toEqual([{ state: "lost", reason: "the runner process died" }]);
});
