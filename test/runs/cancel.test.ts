/** Tests of cancelling a run that is queued, about to start, running, being settled, lost or handed back. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { JobDefinition } from "../../src/jobs/rules/definition.ts";
import { type AttemptMessage, attemptQueue, LOST_QUEUE } from "../../src/queue/messages.ts";
import { ClaimLost, type Message } from "../../src/queue/queue.ts";
import type { Signal } from "../../src/queue/signals.ts";
import { cancelRun, findCancelRequests } from "../../src/runs/cancel.ts";
import { recoverRuns, settleLost } from "../../src/runs/recover.ts";
import type { AttemptOutcome } from "../../src/runs/rules/states.ts";
import { settleAttempt } from "../../src/runs/settle.ts";
import { startAttempt } from "../../src/runs/start.ts";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { deleteJob, putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, failAtOnce, type TestInfra, testInfra } from "../support/test-infra.ts";

const target = "https://example.org/";
const RETRIED = jobDefinition({
  retry: { limit: 3, delayMs: 0, backoff: "constant", maxDelayMs: null, jitter: 0, exitCodes: [] },
  actions: (["on_success", "on_error", "on_retries_exhausted"] as const).map((event) => ({
    event,
    action: "notify_webhook",
    target,
  })),
});
const FAILED: AttemptOutcome = { state: "failed", status: 3 };

let infra: TestInfra;
let job: string;
let jobs = 0;
beforeAll(async () => {
  infra = await testInfra();
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());
beforeEach(async () => {
  await infra.db.prisma.$executeRaw`DELETE FROM pgboss.job`;
});

async function saveJob(more: Partial<JobDefinition> = {}): Promise<void> {
  job = `job-${jobs++}`;
  await putJob(infra, ADMINISTRATOR, { ...RETRIED, ...more, name: job });
}

async function claim(queue = attemptQueue("default")): Promise<Message<AttemptMessage>> {
  const [message] = await infra.queue.claim<AttemptMessage>(queue, 1);
  if (message === undefined) throw new Error(`nothing to claim in ${queue}`);
  return message;
}

async function startedRun(): Promise<{ id: string; message: Message<AttemptMessage> }> {
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job });
  const message = await claim();
  await startAttempt(infra, message, "worker");
  return { id, message };
}

function settle(message: Message<AttemptMessage>, outcome: AttemptOutcome): Promise<void> {
  return settleAttempt(infra, message, { outcome }, infra);
}

const runOf = (id: string) =>
  infra.db.prisma.run.findUniqueOrThrow({
    where: { id },
    include: { attempts: { select: { state: true, reason: true } }, events: { select: { event: true } } },
  });

it("requests the cancel of a running run once, and leaves the run running", async () => {
  await saveJob();
  const { id } = await startedRun();
  const heard: Signal[] = [];
  const unsubscribe = infra.signals.subscribe((signal) => heard.push(signal));
  expect(await findCancelRequests(infra.db.prisma, [id])).toEqual([]);
  expect(await cancelRun(infra, ADMINISTRATOR, id)).toBe(false);
  const requested = await runOf(id);
  expect(requested).toMatchObject({ state: "running", cancelRequestedAt: expect.any(Date) });
  expect(await findCancelRequests(infra.db.prisma, [id, randomUUID()])).toEqual([id]);
  await expect.poll(() => heard).toContainEqual({ type: "cancel", run: id });
  unsubscribe();

  expect(await cancelRun(infra, ADMINISTRATOR, id)).toBe(false);
  expect(await runOf(id)).toEqual(requested);
});

it.each<[AttemptOutcome, number]>([
  [{ state: "cancelled", status: -1 }, -1],
  [FAILED, 3],
  [{ state: "timed_out", status: 124 }, 124],
  [{ state: "handed_back", status: null }, -1],
])("ends the run without a retry or event when its attempt is %o", async (outcome, status) => {
  await saveJob();
  const { id, message } = await startedRun();
  await cancelRun(infra, ADMINISTRATOR, id);
  await settle(message, outcome);
  expect(await runOf(id)).toMatchObject({
    state: "cancelled",
    status,
    reason: "cancelled on request",
    messageId: null,
    attempts: [
      { state: outcome.state, reason: outcome.state === "cancelled" ? "cancelled on request" : null },
    ],
    events: [],
  });
  expect(await findCancelRequests(infra.db.prisma, [id])).toEqual([]);
  expect(await cancelRun(infra, ADMINISTRATOR, id)).toBe(true);
});

it("has no effect on a command that has succeeded", async () => {
  await saveJob();
  const { id, message } = await startedRun();
  await cancelRun(infra, ADMINISTRATOR, id);
  await settle(message, { state: "succeeded", status: 0 });
  const events = [{ event: "on_success" }];
  expect(await runOf(id)).toMatchObject({ state: "succeeded", status: 0, reason: null, events });
  await expect(cancelRun(infra, ADMINISTRATOR, id)).rejects.toMatchObject({ code: "run_ended" });
});

it("ends the run of a dead worker: the attempt is lost and not retried", async () => {
  await saveJob();
  const { id } = await startedRun();
  await cancelRun(infra, ADMINISTRATOR, id);
  await infra.db.prisma.$executeRaw`DELETE FROM pgboss.job`;
  await recoverRuns(infra);
  for (const message of await infra.queue.claim<AttemptMessage>(LOST_QUEUE, 9)) {
    if (message.data.run_id === id) await settleLost(infra, message, infra, failAtOnce);
  }
  const attempts = [{ state: "lost" }];
  expect(await runOf(id)).toMatchObject({ state: "cancelled", status: -1, attempts, events: [] });
});

it("ends a run between its claim and its start", async () => {
  await saveJob();
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job });
  const message = await claim();
  expect(await cancelRun(infra, ADMINISTRATOR, id)).toBe(true);
  await expect(startAttempt(infra, message, "worker")).rejects.toThrow(ClaimLost);
  expect(await runOf(id)).toMatchObject({ state: "cancelled", status: null, attempts: [] });
});

it("is not lost when a start or a settlement happens at the same time", async () => {
  await saveJob();
  for (let round = 0; round < 10; round++) {
    const { id } = await triggerRun(infra, ADMINISTRATOR, { job });
    const message = await claim();
    const [started] = await Promise.allSettled([
      startAttempt(infra, message, "worker"),
      cancelRun(infra, ADMINISTRATOR, id),
    ]);
    if (started.status === "fulfilled") await settle(message, FAILED);
    expect(await runOf(id)).toMatchObject({ state: "cancelled", events: [] });

    const other = await startedRun();
    await Promise.all([settle(other.message, FAILED), cancelRun(infra, ADMINISTRATOR, other.id)]);
    expect((await runOf(other.id)).state).toBe("cancelled");
  }
});

it("keeps the run's place until its command has ended, and then starts the next run", async () => {
  await saveJob({ concurrency: { limit: 1, policy: "queue" } });
  const { id, message } = await startedRun();
  const { id: next } = await triggerRun(infra, ADMINISTRATOR, { job });
  await cancelRun(infra, ADMINISTRATOR, id);
  expect((await runOf(next)).messageId).toBeNull();
  await settle(message, { state: "cancelled", status: -1 });
  expect((await claim()).data.run_id).toBe(next);
});

it("is not requested by the deletion of the run's job", async () => {
  await saveJob();
  const { id, message } = await startedRun();
  await deleteJob(infra, ADMINISTRATOR, job);
  expect(await findCancelRequests(infra.db.prisma, [id])).toEqual([]);
  await settle(message, FAILED);
  expect((await runOf(id)).state).toBe("failed");
});
