/** The scheduler's view of a pause: no slots while it lasts, and none for what has passed once it is over. */
import { expect, it } from "vitest";
import { jobDefinition } from "../../src/api/schemas/job.ts";
import { clockAndVersion, cronJobs } from "../../src/db/slots.ts";
import { pauseJob, putJob, resumeJob } from "../../src/orchestrator/define-jobs.ts";
import { createDueTable } from "../../src/scheduler/due-table.ts";
import { testDeps } from "../support/deps.ts";

const HOUR = 3_600_000;

it("hands out no slots of a paused job, and none from before it went on", async () => {
  await using deps = await testDeps();
  const { prisma } = deps.db;
  const definition = jobDefinition("coffee", { command: "true", cron: "* * * * *" });
  await putJob(deps, definition);
  const { now } = await clockAndVersion(prisma);
  const longAgo = new Date(now.getTime() - HOUR);
  await prisma.jobRevision.updateMany({ data: { createdAt: longAgo } });
  await prisma.job.updateMany({ data: { updatedAt: longAgo } });
  await prisma.schedule.updateMany({ data: { updatedAt: longAgo } });
  const due = async () => {
    const table = createDueTable("UTC");
    table.load(await cronJobs(prisma), longAgo);
    return table.due(now).length > 0;
  };

  expect(await due()).toBe(true);
  const versions = [(await clockAndVersion(prisma)).version];
  await pauseJob(deps, "coffee", { by: "ann" });
  versions.push((await clockAndVersion(prisma)).version);
  expect(await cronJobs(prisma)).toEqual([]);
  await putJob(deps, definition);
  expect(await cronJobs(prisma)).toEqual([]);
  await resumeJob(deps, "coffee");
  versions.push((await clockAndVersion(prisma)).version);
  expect(await cronJobs(prisma)).toHaveLength(1);
  expect(await due()).toBe(false);
  expect(new Set(versions).size).toBe(3);
});
