/** Reads of single jobs share queries, and each gets its own answer, as new as anything that was committed before it. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { findCommittedJob } from "../../src/jobs/find-committed.ts";
import type { Database } from "../../src/postgres/client.ts";
import { pauseJob } from "../../src/schedules/pause.ts";
import { putJob } from "../../src/schedules/save-job.ts";
import { jobDefinition } from "../support/job-definition.ts";
import { ADMINISTRATOR, type TestInfra, testInfra } from "../support/test-infra.ts";

let infra: TestInfra;
beforeAll(async () => {
  infra = await testInfra();
  for (const name of ["first", "second", "third"]) await save(name, `says ${name}`);
}, 30_000);
afterAll(() => infra?.[Symbol.asyncDispose]());

function save(name: string, description: string) {
  return putJob(infra, ADMINISTRATOR, jobDefinition({ name, description }));
}

/** A database whose reads are counted, and end only when `ended` says so. */
function watchedDatabase(ended: () => Promise<unknown> = async () => undefined) {
  const reads = { count: 0 };
  const sqlRead: Database["sqlRead"] = async (work) => {
    reads.count += 1;
    const result = await infra.db.sqlRead(work);
    await ended();
    return result;
  };
  return { db: { ...infra.db, sqlRead }, reads };
}

it("reads many names in one query, and a missing one fails no other", async () => {
  const { db, reads } = watchedDatabase();
  const names = ["third", "missing", "first", "second", "first"];
  const jobs = await Promise.all(names.map((name) => findCommittedJob(db, name)));
  expect(jobs.map((job) => job?.definition.description)).toEqual([
    "says third",
    undefined,
    "says first",
    "says second",
    "says first",
  ]);
  expect(reads.count).toBe(1);
});

it("reads a revision once, and what changes without a new one each time", async () => {
  const first = await findCommittedJob(infra.db, "second");
  await infra.db.prisma.schedule.updateMany({
    where: { name: "default" },
    data: { tzLocation: "Asia/Tokyo" },
  });
  await pauseJob(infra, ADMINISTRATOR, "second", { reason: "descaled" });
  const again = await findCommittedJob(infra.db, "second");
  await infra.db.prisma.schedule.updateMany({ where: { name: "default" }, data: { tzLocation: null } });
  expect(again).toMatchObject({ scheduleTimezone: "Asia/Tokyo", paused: { reason: "descaled" } });
  expect(again?.definition).toBe(first?.definition);
});

it("names the schedule that the job is in now", async () => {
  const before = await findCommittedJob(infra.db, "second");
  const { id } = await infra.db.prisma.schedule.create({ data: { name: "kitchen" } });
  const inDefault = { scheduleId: before?.scheduleId ?? "" };
  await infra.db.prisma.job.updateMany({ where: { name: "second" }, data: { scheduleId: id } });
  expect((await findCommittedJob(infra.db, "second"))?.definition.schedule).toBe("kitchen");
  await infra.db.prisma.job.updateMany({ where: { name: "second" }, data: inDefault });
  expect((await findCommittedJob(infra.db, "second"))?.definition.schedule).toBe("default");
});

it("sees a write that was committed while an earlier read was under way", async () => {
  const underWay = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const { db, reads } = watchedDatabase(() => {
    underWay.resolve();
    return release.promise;
  });
  const early = findCommittedJob(db, "first");
  await underWay.promise;
  await save("first", "says more");
  const late = findCommittedJob(db, "first");
  release.resolve();
  expect((await early)?.definition.description).toBe("says first");
  expect((await late)?.definition.description).toBe("says more");
  expect(reads.count).toBe(2);
});

it("returns the job that now has the name, with all of its parts", async () => {
  const actions = [
    { event: "on_success", action: "trigger_job", target: "second" },
    { event: "on_error", action: "notify_webhook", target: "https://a.example/1", headers: { A: "b" } },
    { event: "on_error", action: "notify_webhook", target: "https://a.example/2" },
  ] as const;
  const definition = jobDefinition({ name: "third", env: { A: "1" }, labels: { team: "a" }, actions });
  await putJob(infra, ADMINISTRATOR, definition);
  const job = await findCommittedJob(infra.db, "third");
  expect(job?.definition).toEqual({ ...definition, schedule: "default" });
  expect(job).toMatchObject({ revision: 2, paused: null, scheduleTimezone: null });
  expect(job?.readAt).toBeInstanceOf(Date);
});
