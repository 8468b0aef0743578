/** Tests of triggering slots that already have their rows, or whose job was just paused. */
import { expect, it } from "vitest";
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
