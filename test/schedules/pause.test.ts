/** Tests of a pause as the scheduler sees it: its slots create no runs, neither during the pause nor after it. */
import { expect, it } from "vitest";
import { jobDefinition } from "../../src/api/views/job-document.ts";
import { cronJobs } from "../../src/jobs/cron-jobs.ts";
import { createDueTable } from "../../src/scheduler/due-table.ts";
import { readClock } from "../../src/scheduler/progress.ts";
import { pauseJob, resumeJob } from "../../src/schedules/pause.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { ADMINISTRATOR, testInfra } from "../support/test-infra.ts";

const HOUR = 3_600_000;

it("separates the slots of a paused job, and has no slots from before the resume", async () => {
  await using infra = await testInfra();
  const { prisma } = infra.db;
  const definition = jobDefinition("coffee", { command: "true", cron: "* * * * *" });
  await putJob(infra, ADMINISTRATOR, definition);
  const { now } = await readClock(prisma);
  const longAgo = new Date(now.getTime() - HOUR);
  await prisma.jobRevision.updateMany({ data: { createdAt: longAgo } });
  await prisma.job.updateMany({ data: { updatedAt: longAgo } });
  await prisma.schedule.updateMany({ data: { updatedAt: longAgo } });
  const due = async () => {
    const table = createDueTable("UTC");
    await table.load(await cronJobs(prisma), longAgo, now);
    const { due, paused } = table.due(now);
    return { due: due.length > 0, paused: paused.length > 0 };
  };

  expect(await due()).toEqual({ due: true, paused: false });
  const versions = [(await readClock(prisma)).version];
  await pauseJob(infra, ADMINISTRATOR, "coffee", { by: "ann" });
  versions.push((await readClock(prisma)).version);
  await putJob(infra, ADMINISTRATOR, definition);
  await prisma.job.updateMany({ data: { updatedAt: longAgo } });
  expect(await due()).toEqual({ due: false, paused: true });
  await resumeJob(infra, ADMINISTRATOR, "coffee");
  versions.push((await readClock(prisma)).version);
  expect(await due()).toEqual({ due: false, paused: false });
  expect(new Set(versions).size).toBe(3);
});
