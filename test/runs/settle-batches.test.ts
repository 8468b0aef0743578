/** Attempts that are settled in one transaction: each as if it were alone. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { newId } from "../../src/postgres/ids.ts";
import { type AttemptMessage, attemptQueue } from "../../src/queue/messages.ts";
import { ClaimLost, type Message } from "../../src/queue/queue.ts";
import { type AttemptResult, settleAttempt } from "../../src/runs/settle.ts";
import { claimAttempts, startAttempt } from "../../src/runs/start.ts";
import { triggerRun } from "../../src/runs/trigger-by-caller.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, type TestInfra, testInfra } from "../support/test-infra.ts";

const QUEUE = attemptQueue("default");
const SUCCEEDED: AttemptResult = { outcome: { state: "succeeded", status: 0 } };
const FAILED: AttemptResult = { outcome: { state: "failed", status: 3 } };

let infra: TestInfra;
beforeEach(async () => {
  infra = await testInfra();
  await putJob(infra, ADMINISTRATOR, jobDefinition());
}, 30_000);
afterEach(() => infra?.[Symbol.asyncDispose]());

const claim = (count: number) => claimAttempts(infra, { queueName: QUEUE, count, worker: "worker" });

/** Triggers jobs, and claims and starts all that may start. */
async function started(...jobs: string[]): Promise<Message<AttemptMessage>[]> {
  for (const job of jobs) await triggerRun(infra, ADMINISTRATOR, { job });
  const claimed = await claim(jobs.length);
  expect(claimed.map(({ run }) => run?.id)).toEqual(claimed.map(({ message }) => message.data.run_id));
  return claimed.map(({ message }) => message);
}

/** Settles attempts in one transaction, because they come in one turn of the event loop. */
const settleAll = (messages: readonly Message<AttemptMessage>[], result: AttemptResult) =>
  Promise.allSettled(messages.map((message) => settleAttempt(infra, message, result, infra)));

const states = async () => {
  const runs = await infra.db.prisma.run.findMany({ orderBy: { id: "asc" } });
  return runs.map(({ state }) => state);
};

it("records the good results when one claim of the batch was lost", async () => {
  const messages = await started("job", "job", "job", "job");
  // Another node has taken the third message: its fence has moved on.
  await infra.db.prisma.$executeRaw`
    UPDATE pgboss.job SET retry_count = retry_count + 1 WHERE id = ${messages[2]?.id}::uuid`;
  const results = await settleAll(messages, SUCCEEDED);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
  expect(results[2]).toMatchObject({ reason: expect.any(ClaimLost) });
  expect(await states()).toEqual(["succeeded", "succeeded", "running", "succeeded"]);
});

it("records one of two results for the same claim in a batch", async () => {
  const [first, second] = await started("job", "job");
  if (first === undefined || second === undefined) throw new Error("nothing was claimed");
  const results = await settleAll([first, second, second], SUCCEEDED);
  expect(results.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "fulfilled", "rejected"]);
  expect(await states()).toEqual(["succeeded", "succeeded"]);
  expect(await infra.db.prisma.attempt.count()).toBe(2);
});

it("frees the places of two limited jobs, and starts the child runs of each", async () => {
  const concurrency = { limit: 1, policy: "queue" } as const;
  const actions = [{ event: "on_error", action: "trigger_job", target: "job" } as const];
  for (const name of ["left", "right"]) {
    await putJob(infra, ADMINISTRATOR, jobDefinition({ name, concurrency, actions }));
  }
  const messages = await started("job", "left", "right");
  for (const job of ["left", "right"]) await triggerRun(infra, ADMINISTRATOR, { job });
  expect(await claim(9)).toEqual([]);
  const results = await settleAll(messages, FAILED);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  const next = await infra.db.prisma.run.findMany({
    where: { state: "queued", messageId: { not: null } },
    include: { job: true, parentEvent: { include: { run: { include: { job: true } } } } },
  });
  const lines = next.map(({ job, parentEvent }) => `${job.name} after ${parentEvent?.run.job.name}`);
  expect(lines.toSorted()).toEqual([
    "job after left",
    "job after right",
    "left after undefined",
    "right after undefined",
  ]);
  expect(await claim(9)).toHaveLength(4);
});

it("leaves a locked run to a start of its own, and starts the others", async () => {
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  const claimed = await infra.db.transaction(async (tx) => {
    await tx.$queryRaw`SELECT id FROM run WHERE id = ${id}::uuid FOR UPDATE`;
    return claim(9);
  });
  expect(claimed.map(({ run }) => run !== undefined)).toEqual([false, true]);
  expect(await states()).toEqual(["queued", "running"]);
  const [left] = claimed;
  if (left === undefined) throw new Error("nothing was claimed");
  expect(await startAttempt(infra, left.message, "worker")).toMatchObject({ id });
  expect(await states()).toEqual(["running", "running"]);
});

it("starts a run once when a stale message of it is claimed with the right one", async () => {
  const { id } = await triggerRun(infra, ADMINISTRATOR, { job: "job" });
  const stale = newId();
  const data = { run_id: id, message_id: stale };
  await infra.db.transaction((tx) => infra.queue.send(tx, QUEUE, [{ id: stale, data }]));
  const claimed = await claim(9);
  expect(claimed).toHaveLength(2);
  for (const { message, run } of claimed) {
    expect(run?.id).toBe(message.id === stale ? undefined : id);
  }
});
