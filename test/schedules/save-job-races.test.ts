/** Tests that saving a job disturbs nothing at the same time: triggers, slots, chains and waiting runs. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { type AttemptMessage, attemptQueue } from "../../src/queue/messages.ts";
import { settleAttempt } from "../../src/runs/settle.ts";
import { startAttempt } from "../../src/runs/start.ts";
import { triggerSlots } from "../../src/runs/trigger.ts";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, type TestInfra, testInfra } from "../support/test-infra.ts";

const QUEUE = attemptQueue("default");
const DONE = {
  outcome: { state: "succeeded", status: 0 },
} as const;
const ROUNDS = 20;

let infra: TestInfra;
beforeEach(async () => {
  infra = await testInfra();
});
afterEach(() => infra?.[Symbol.asyncDispose]());

/** Saves a job again and again, each time as a new revision, while `work` runs. */
async function whileSaving(name: string, work: () => Promise<void>): Promise<void> {
  let over = false;
  const saving = (async () => {
    for (let n = 0; !over; n++)
      await putJob(infra, ADMINISTRATOR, jobDefinition({ name, description: `revision ${n}` }));
  })();
  await work().finally(() => {
    over = true;
  });
  await saving;
}

it("accepts every trigger", { timeout: 60_000 }, async () => {
  await putJob(infra, ADMINISTRATOR, jobDefinition());
  await whileSaving("job", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(Array.from({ length: 4 }, () => triggerRun(infra, ADMINISTRATOR, { job: "job" })));
    }
  });
  expect(await infra.db.prisma.run.count()).toBe(4 * ROUNDS);
});

it("creates the run of every slot", { timeout: 60_000 }, async () => {
  const { job } = await putJob(infra, ADMINISTRATOR, jobDefinition());
  await whileSaving("job", async () => {
    for (let round = 0; round < 4 * ROUNDS; round++) {
      await triggerSlots(infra, [{ jobId: job.id, scheduledFor: new Date(round * 1_000) }]);
    }
  });
  expect(await infra.db.prisma.run.count()).toBe(4 * ROUNDS);
});

it("creates every child run", { timeout: 60_000 }, async () => {
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "kid" }));
  const actions = [{ event: "on_success", action: "trigger_job", target: "kid" }] as const;
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "mum", actions }));
  await whileSaving("kid", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { id } = await triggerRun(infra, ADMINISTRATOR, { job: "mum" });
      for (const message of await infra.queue.claim<AttemptMessage>(QUEUE, 100)) {
        if ((await startAttempt(infra, message, "worker")) !== undefined)
          await settleAttempt(infra, message, DONE, infra);
      }
      expect((await infra.db.prisma.run.findUniqueOrThrow({ where: { id } })).state).toBe("succeeded");
    }
  });
  expect(await infra.db.prisma.run.count({ where: { job: { name: "kid" } } })).toBe(ROUNDS);
  expect(await infra.db.prisma.runEvent.findMany({ where: { refusals: { not: [] } } })).toEqual([]);
});

it("settles chains that cross each other, without a deadlock", {
  timeout: 60_000,
}, async () => {
  const limited = { limit: 2, policy: "queue" } as const;
  for (const name of ["d", "c", "b", "a"]) {
    const actions = ["b", "c", "d"]
      .filter((other) => other > name)
      .map((target) => ({ event: "on_success", action: "trigger_job", target }) as const);
    await putJob(infra, ADMINISTRATOR, jobDefinition({ name, concurrency: limited, actions }));
  }
  const work = async () => {
    for (let idle = 0; idle < 3; ) {
      const messages = await infra.queue.claim<AttemptMessage>(QUEUE, 4);
      idle = messages.length === 0 ? idle + 1 : 0;
      await Promise.all(
        messages.map(async (message) => {
          if ((await startAttempt(infra, message, "worker")) !== undefined)
            await settleAttempt(infra, message, DONE, infra);
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: 8 }, () => triggerRun(infra, ADMINISTRATOR, { job: "a" })));
  await Promise.all([work(), work(), work()]);
  const runs = await infra.db.prisma.run.groupBy({ by: ["state"], _count: true });
  // Each a triggers b, c and d; each b triggers c and d; each c triggers d: 8 times 1 + 1 + 2 + 4.
  expect(runs).toEqual([{ state: "succeeded", _count: 64 }]);
});
