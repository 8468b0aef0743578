/** Tests of fenced settlement, and of the recovery of runs whose messages are gone. */
import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type AttemptMessage, attemptQueue, DELIVERY_QUEUE, LOST_QUEUE } from "../../src/queue/messages.ts";
import { ClaimLost, type Message } from "../../src/queue/queue.ts";
import { recoverRuns, settleLost } from "../../src/runs/recover.ts";
import { type AttemptResult, settleAttempt } from "../../src/runs/settle.ts";
import { startAttempt } from "../../src/runs/start.ts";
import { triggerSlots } from "../../src/runs/trigger.ts";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { pauseJob } from "../../src/schedules/pause.ts";
import { deleteJob, putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, failAtOnce, type TestInfra, testInfra } from "../support/test-infra.ts";

const QUEUE = attemptQueue("default");
const JOB = jobDefinition({
  actions: [{ event: "on_error", action: "notify_webhook", target: "https://example.org/" }],
});
const FAILED: AttemptResult = {
  outcome: { state: "failed", status: 1 },
};

let infra: TestInfra;
beforeEach(async () => {
  infra = await testInfra();
  await putJob(infra, ADMINISTRATOR, JOB);
}, 30_000);
afterEach(() => infra?.[Symbol.asyncDispose]());

async function claim(queue = QUEUE): Promise<Message<AttemptMessage>> {
  const [message] = await infra.queue.claim<AttemptMessage>(queue, 1);
  if (message === undefined) throw new Error(`nothing to claim in ${queue}`);
  return message;
}

async function startedRun(): Promise<{ id: string; message: Message<AttemptMessage> }> {
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  const message = await claim();
  await startAttempt(infra, message, "worker");
  return { id, message };
}

const stateOf = async (id: string) => (await infra.db.prisma.run.findUniqueOrThrow({ where: { id } })).state;
const dropMessages = () => infra.db.prisma.$executeRaw`DELETE FROM pgboss.job`;

it("records the result of only one of several settlements of a claim (promise 3)", async () => {
  const { id, message } = await startedRun();
  const tries = await Promise.allSettled(
    Array.from({ length: 6 }, () => settleAttempt(infra, message, FAILED, infra)),
  );
  expect(tries.filter((one) => one.status === "fulfilled")).toHaveLength(1);
  for (const one of tries) if (one.status === "rejected") expect(one.reason).toBeInstanceOf(ClaimLost);
  expect(await stateOf(id)).toBe("failed");
  expect(await infra.db.prisma.runEvent.count()).toBe(1);
  expect(await infra.db.prisma.delivery.count()).toBe(1);
});

it("changes no state, event or delivery when the acknowledgement fails (promise 5)", async () => {
  const { id, message } = await startedRun();
  const stale = { ...message, retryCount: message.retryCount + 1 };
  await expect(settleAttempt(infra, stale, FAILED, infra)).rejects.toThrow(ClaimLost);
  expect(await stateOf(id)).toBe("running");
  expect(await infra.db.prisma.runEvent.count()).toBe(0);
  expect(await infra.db.prisma.delivery.count()).toBe(0);
  await settleAttempt(infra, message, FAILED, infra);
  expect(await stateOf(id)).toBe("failed");
});

it("refuses a late result of an attempt that counts as lost", async () => {
  const { id, message } = await startedRun();
  await dropMessages();
  expect(await recoverRuns(infra)).toBe(1);
  await settleLost(infra, await claim(LOST_QUEUE), infra, failAtOnce);
  expect(await stateOf(id)).toBe("failed");
  await expect(
    settleAttempt(infra, message, { ...FAILED, outcome: { state: "succeeded", status: 0 } }, infra),
  ).rejects.toThrow(ClaimLost);
  expect(await infra.db.prisma.attempt.findMany()).toMatchObject([{ state: "lost", status: -1 }]);
  expect(await infra.db.prisma.runEvent.count()).toBe(1);
});

it("refuses a result under a message that is claimed, but is not the one of the running attempt", async () => {
  const { id, message } = await startedRun();
  const other = { id: randomUUID(), data: { run_id: id, message_id: randomUUID() } };
  await infra.db.transaction((tx) => infra.queue.send(tx, QUEUE, [other]));
  const claimed = await claim();
  expect(claimed).toMatchObject(other);
  await expect(settleAttempt(infra, claimed, FAILED, infra)).rejects.toThrow(ClaimLost);
  expect(await stateOf(id)).toBe("running");
  expect(await infra.db.prisma.delivery.count()).toBe(0);
  await settleAttempt(infra, message, FAILED, infra);
  expect(await stateOf(id)).toBe("failed");
});

it("lets a running attempt of a deleted job end, and does not retry it", async () => {
  await putJob(infra, ADMINISTRATOR, { ...JOB, retry: { ...JOB.retry, limit: 3 } });
  const { id, message } = await startedRun();
  await deleteJob(infra, ADMINISTRATOR, JOB.name);
  await settleAttempt(infra, message, FAILED, infra);
  expect(await infra.db.prisma.run.findUnique({ where: { id } })).toMatchObject({
    state: "failed",
    attempt: 0,
    retriesExhausted: false,
  });
});

it("runs no slot of a paused job, even when the beat did not know of the pause", async () => {
  const { job } = await putJob(infra, ADMINISTRATOR, JOB);
  await pauseJob(infra, ADMINISTRATOR, JOB.name, {});
  await triggerSlots(infra, [{ jobId: job.id, scheduledFor: new Date(0) }]);
  expect(await infra.db.prisma.run.findMany()).toMatchObject([{ state: "missed", messageId: null }]);
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job: JOB.name });
  const triggered = await infra.db.prisma.run.findUnique({ where: { id } });
  expect(triggered).toMatchObject({ state: "queued", messageId: expect.any(String) });
});

it("does not start a run twice, or with a stale message", async () => {
  const { message } = await startedRun();
  const copy = { ...message, id: randomUUID() };
  await expect(startAttempt(infra, copy, "other")).rejects.toThrow(ClaimLost);
  expect(await infra.db.prisma.attempt.count()).toBe(1);
});

it("sends a new message for a queued run and a pending delivery that have none", async () => {
  const { id: queued } = await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  const { message } = { message: await claim() };
  await startAttempt(infra, message, "worker");
  await settleAttempt(infra, message, FAILED, infra);
  const { id: waiting } = await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  expect(await recoverRuns(infra)).toBe(0);

  await dropMessages();
  expect(await recoverRuns(infra)).toBe(2);
  expect((await claim()).data.run_id).toBe(waiting);
  expect(await infra.queue.claim(DELIVERY_QUEUE, 9)).toHaveLength(1);
  expect(await stateOf(queued)).toBe("failed");
});

it("queues a run again when its worker died between claim and start, without using an attempt", async () => {
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  const { data } = await claim();
  await infra.db.transaction((tx) => infra.queue.send(tx, LOST_QUEUE, [{ id: randomUUID(), data }]));
  await settleLost(infra, await claim(LOST_QUEUE), infra, failAtOnce);
  expect(await stateOf(id)).toBe("queued");
  expect((await claim()).data.run_id).toBe(id);
  expect(await infra.db.prisma.attempt.count()).toBe(0);
});
