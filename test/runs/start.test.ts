/** Tests of the start of an attempt: the environment of its command, and a claim that is about to expire. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type AttemptMessage, attemptQueue, RENEW_DEADLINE_MS } from "../../src/queue/messages.ts";
import { ClaimLost } from "../../src/queue/queue.ts";
import { orderOf } from "../../src/runs/attempt-order.ts";
import { settleAttempt } from "../../src/runs/settle.ts";
import { startAttempt } from "../../src/runs/start.ts";
import { triggerSlots } from "../../src/runs/trigger.ts";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, type TestInfra, testInfra } from "../support/test-infra.ts";

let infra: TestInfra;
beforeAll(async () => {
  infra = await testInfra();
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());

async function start() {
  const [message] = await infra.queue.claim<AttemptMessage>(attemptQueue("default"), 1);
  if (message === undefined) throw new Error("nothing to claim");
  const run = await startAttempt(infra, message, "worker");
  if (run === undefined) throw new Error("nothing to start");
  const order = await orderOf(infra.db, run, infra.secretKeys);
  const end = (status: number) =>
    settleAttempt(
      infra,
      message,
      { outcome: status === 0 ? { state: "succeeded", status } : { state: "failed", status } },
      infra,
    );
  return { order, end };
}

it("sets the env of job and trigger, overridden by the variables that name run, trigger and attempt", async () => {
  const env = { CUP: "large", MILK: "no", CARILLON_JOB: "tea", CARILLON_PARENT_RUN_ID: "none" };
  const { retry } = jobDefinition();
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "coffee", env, retry: { ...retry, limit: 1 } }));
  const { id } = await triggerRun(infra, ADMINISTRATOR, {
    job: "coffee",
    triggeredBy: "CoffeeRequestButton",
    env: { CUP: "small", CARILLON_ATTEMPT: "9", CARILLON_SCHEDULED_FOR: "now" },
  });
  const first = await start();
  const variables = {
    CUP: "small",
    MILK: "no",
    CARILLON_RUN_ID: id,
    CARILLON_JOB: "coffee",
    CARILLON_ATTEMPT: "0",
    CARILLON_TRIGGERED_BY: "CoffeeRequestButton",
  };
  expect(first.order.env).toEqual(variables);
  await first.end(1);
  const again = await start();
  expect(again.order.env).toEqual({ ...variables, CARILLON_ATTEMPT: "1" });
  await again.end(0);
});

it("sets the slot of a cron run, and the parent of a child run", async () => {
  const actions = [{ event: "on_success", action: "trigger_job", target: "child" }] as const;
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "child" }));
  const { job } = await putJob(
    infra,
    ADMINISTRATOR,
    jobDefinition({ name: "parent", actions: [...actions] }),
  );
  const scheduledFor = new Date("2026-03-29T01:30:00Z");
  await triggerSlots(infra, [{ jobId: job.id, scheduledFor }]);
  const parent = await start();
  expect(parent.order.env).toEqual({
    CARILLON_RUN_ID: parent.order.runId,
    CARILLON_JOB: "parent",
    CARILLON_ATTEMPT: "0",
    CARILLON_SCHEDULED_FOR: "2026-03-29T01:30:00.000Z",
    CARILLON_TRIGGERED_BY: "cron",
  });
  await parent.end(0);
  const child = await start();
  expect(child.order.env).toEqual({
    CARILLON_RUN_ID: child.order.runId,
    CARILLON_JOB: "child",
    CARILLON_ATTEMPT: "0",
    CARILLON_TRIGGERED_BY: "job[parent]",
    CARILLON_PARENT_RUN_ID: parent.order.runId,
  });
  await child.end(0);
});

it("does not start an attempt whose claim is about to expire, and changes nothing", async () => {
  await putJob(infra, ADMINISTRATOR, jobDefinition({ name: "late" }));
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job: "late" });
  const [message] = await infra.queue.claim<AttemptMessage>(attemptQueue("default"), 1);
  if (message === undefined) throw new Error("nothing to claim");
  const late = { ...message, claimedAt: performance.now() - RENEW_DEADLINE_MS + 1_000 };
  await expect(startAttempt(infra, late, "worker")).rejects.toThrow(ClaimLost);
  const stored = () => infra.db.prisma.run.findUnique({ where: { id }, include: { attempts: true } });
  expect(await stored()).toMatchObject({ state: "queued", startedAt: null, attempts: [] });
  const run = await startAttempt(infra, message, "worker");
  expect(run).toMatchObject({ id, isNew: true });
  // The result of the start was lost: the same claim gets it again, even in its last second.
  expect(await startAttempt(infra, late, "worker")).toEqual({ ...run, isNew: false });
  expect((await stored())?.attempts).toHaveLength(1);
});
