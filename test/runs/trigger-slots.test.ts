/** Tests of triggering slots that already have their rows, or whose job was just paused. */
import { expect, it } from "vitest";
import { releaseWaiting } from "../../src/runs/release.ts";
import { slotJitterMs } from "../../src/runs/rules/admission.ts";
import { triggerSlots } from "../../src/runs/trigger.ts";
import { pauseJob, resumeJob } from "../../src/schedules/pause.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, testInfra } from "../support/test-infra.ts";

it("uses no place for a slot that already has its run", async () => {
  await using infra = await testInfra();
  const { job } = await putJob(
    infra,
    ADMINISTRATOR,
    jobDefinition({ concurrency: { limit: 1, policy: "queue" } }),
  );
  const slots = [1, 2].map((second) => ({ jobId: job.id, scheduledFor: new Date(second * 1_000) }));
  await triggerSlots(infra, slots.slice(0, 1));
  await infra.db.prisma.run.updateMany({ data: { state: "running" } });
  // Another scheduler triggers both slots later.
  await triggerSlots(infra, slots);
  const runs = await infra.db.prisma.run.findMany({ orderBy: { scheduledFor: "asc" } });
  expect(runs.map((run) => run.state)).toEqual(["running", "queued"]);
});

it("records the slots of a paused job, also after the pause, as missed", async () => {
  await using infra = await testInfra();
  const { job } = await putJob(infra, ADMINISTRATOR, jobDefinition());
  await pauseJob(infra, ADMINISTRATOR, job.definition.name, { by: "ann" });
  await triggerSlots(infra, [{ jobId: job.id, scheduledFor: new Date(1_000) }]);
  await resumeJob(infra, ADMINISTRATOR, job.definition.name);
  await triggerSlots(infra, [{ jobId: job.id, scheduledFor: new Date(2_000), missed: "it was paused" }]);
  const runs = await infra.db.prisma.run.findMany({ orderBy: { scheduledFor: "asc" } });
  const missed = { state: "missed", trigger: "cron", messageId: null, finishedAt: expect.any(Date) };
  expect(runs).toMatchObject([
    { ...missed, reason: "the job is paused by ann" },
    { ...missed, reason: "it was paused" },
  ]);
});

const HOUR = 3_600_000;
const MINUTE = 60_000;

/** Recent slots whose jitter is not over within the next minute. */
function delayedSlots(jobId: string, count: number): { jobId: string; scheduledFor: Date }[] {
  const now = Date.now();
  const slots = Array.from({ length: 20 * count }, (_, n) => new Date(now - n * 1_000));
  const delayed = slots.filter((slot) => Number(slot) + slotJitterMs(jobId, slot, HOUR) > now + MINUTE);
  return delayed.slice(0, count).map((scheduledFor) => ({ jobId, scheduledFor }));
}

it("skips no slot because the run of an earlier one waits out its jitter, and skips it afterwards", async () => {
  await using infra = await testInfra();
  const { prisma } = infra.db;
  const { job } = await putJob(infra, ADMINISTRATOR, jobDefinition({ jitterMs: HOUR }));
  const slots = delayedSlots(job.id, 20);
  await triggerSlots(infra, slots.slice(0, 10));
  for (const slot of slots.slice(10)) await triggerSlots(infra, [slot]);
  expect(await prisma.run.count({ where: { state: "queued" } })).toBe(20);

  await prisma.run.updateMany({ data: { nextAttemptAt: new Date(0) } });
  await triggerSlots(infra, [{ jobId: job.id, scheduledFor: new Date(Date.now() + MINUTE) }]);
  const last = await prisma.run.findFirstOrThrow({ orderBy: { scheduledFor: "desc" } });
  expect(last).toMatchObject({ state: "skipped", reason: "another cron run of this job is already waiting" });
});

it("does not start a run that gets a place before its jitter is over", async () => {
  await using infra = await testInfra();
  const { prisma } = infra.db;
  const definition = jobDefinition({ jitterMs: HOUR, concurrency: { limit: 1, policy: "queue" } });
  const { job } = await putJob(infra, ADMINISTRATOR, definition);
  await triggerSlots(infra, [{ jobId: job.id, scheduledFor: new Date(0) }]);
  await prisma.run.updateMany({ data: { state: "running" } });
  const slots = delayedSlots(job.id, 1);
  await triggerSlots(infra, slots);
  await prisma.run.updateMany({
    where: { state: "running" },
    data: { state: "failed", finishedAt: new Date() },
  });
  expect(await infra.db.transaction((tx) => releaseWaiting(infra.queue, tx, job.id))).toBe(1);
  const run = await prisma.run.findFirstOrThrow({ where: { state: "queued" } });
  const [message] = await prisma.$queryRaw<{ startAfter: Date }[]>`
    SELECT start_after AS "startAfter" FROM pgboss.job WHERE id = ${run.messageId}::uuid`;
  expect(message?.startAfter).toEqual(run.nextAttemptAt);
});
