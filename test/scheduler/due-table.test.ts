/** Tests of the due table: which slots are due, which are done, and how it follows changes of the definitions. */
import { expect, it } from "vitest";
import type { CronJob } from "../../src/jobs/cron-jobs.ts";
import { createDueTable } from "../../src/scheduler/due-table.ts";

const at = (time: string) => new Date(`2026-03-01T${time}Z`);
const START = at("10:00:00");

function job(more: Partial<CronJob> = {}): CronJob {
  return {
    id: "job",
    revisionId: "first",
    cron: ["*/10 * * * *"],
    timezone: null,
    scheduleTimezone: null,
    since: at("00:00:00"),
    missedRuns: "last",
    catchupWindowMs: 3_600_000,
    paused: null,
    ...more,
  };
}

const PAUSED = { at: at("10:00:05"), by: "ann", reason: null };

async function tableOf(...jobs: CronJob[]) {
  const table = createDueTable("UTC");
  await table.load(jobs, START, START);
  return table;
}

type Table = Awaited<ReturnType<typeof tableOf>>;
const time = (slot: Date) => slot.toISOString().slice(11, 19);
const due = (table: Table, now: string) => table.due(at(now)).due.map((slot) => time(slot.scheduledFor));
const missed = (table: Table, now: string) => table.due(at(now)).paused.flatMap((one) => one.slots.map(time));

it("has no slots before the start or before the job's revision was saved", async () => {
  const before = await tableOf(job());
  expect(due(before, "10:09:59")).toEqual([]);
  expect(due(before, "10:10:30")).toEqual(["10:10:00"]);
  const table = await tableOf();
  await table.load([job({ since: at("10:15:00") })], START, at("10:15:01"));
  expect(due(table, "10:20:00")).toEqual(["10:20:00"]);
});

it("returns every slot that a late beat has passed", async () => {
  const seconds = await tableOf(job({ cron: ["* * * * * *"] }));
  expect(due(seconds, "10:00:03")).toEqual(["10:00:01", "10:00:02", "10:00:03"]);
});

it("returns a slot that was due before a new revision, although the beat was late", async () => {
  const table = await tableOf(job());
  const changed = job({ revisionId: "second", cron: ["45 * * * *"], since: at("10:10:02") });
  await table.load([changed], START, at("10:10:03"));
  expect(due(table, "10:10:03")).toEqual(["10:10:00"]);
  await table.markDone(at("10:10:03"));
  expect(due(table, "10:10:04")).toEqual([]);
});

it("returns a slot until it is marked as done, and never again", async () => {
  const table = await tableOf(job());
  expect(due(table, "10:10:00")).toEqual(["10:10:00"]);
  expect(due(table, "10:10:01")).toEqual(["10:10:00"]);
  await table.markDone(at("10:10:01"));
  expect(due(table, "10:19:59")).toEqual([]);
  expect(due(table, "10:20:00")).toEqual(["10:20:00"]);
});

it("keeps its place when an unchanged job is loaded again", async () => {
  const table = await tableOf(job());
  await table.markDone(at("10:10:00"));
  await table.load([job(), job({ id: "other" })], START, at("10:10:01"));
  expect(table.due(at("10:20:00")).due.filter((slot) => slot.jobId === "job")).toHaveLength(1);
});

it("skips slots that other schedulers have done, except those of a job saved too recently for them", async () => {
  const table = await tableOf(job());
  await table.markDone(at("10:00:01"));
  const saved = job({ id: "new", since: at("10:09:59") });
  await table.load([job(), saved], at("10:10:00"), at("10:10:01"));
  await table.skipTo(at("10:10:00"));
  expect(table.due(at("10:10:01")).due).toEqual([{ jobId: "new", scheduledFor: at("10:10:00") }]);
  await table.markDone(at("10:10:01"));
  await table.skipTo(at("10:30:00"));
  expect(table.due(at("10:30:01")).due).toEqual([]);
});

it("follows a new revision from its save on, and forgets deleted jobs", async () => {
  const table = await tableOf(job(), job({ id: "gone" }));
  const changed = job({ revisionId: "second", cron: ["5 * * * *", "25 * * * *"], since: at("10:02:00") });
  await table.load([changed], START, at("10:02:01"));
  expect(due(table, "10:05:00")).toEqual(["10:05:00"]);
  await table.markDone(at("10:05:00"));
  expect(due(table, "10:25:00")).toEqual(["10:25:00"]);
});

it("uses the zone of the job, else of its schedule, else the default, and a new zone from its save on", async () => {
  const daily = { cron: ["0 12 * * *"] };
  const zoned = async (more: Partial<CronJob>) => due(await tableOf(job({ ...daily, ...more })), "23:00:00");
  expect(await zoned({})).toEqual(["12:00:00"]);
  expect(await zoned({ scheduleTimezone: "Europe/Brussels" })).toEqual(["11:00:00"]);
  expect(await zoned({ scheduleTimezone: "Europe/Brussels", timezone: "America/New_York" })).toEqual([
    "17:00:00",
  ]);

  const table = await tableOf(job(daily));
  await table.markDone(at("12:00:00"));
  const moved = job({ ...daily, scheduleTimezone: "Europe/Brussels", since: at("12:00:01") });
  await table.load([moved], at("12:00:00"), at("12:00:02"));
  expect(due(table, "23:00:00")).toEqual([]);
});

it("has no past slots of a new time zone", async () => {
  const table = await tableOf(job({ cron: ["0 15 * * *"] }));
  await table.markDone(at("10:30:00"));
  const moved = { cron: ["0 15 * * *"], scheduleTimezone: "Asia/Karachi", since: at("10:30:00") };
  await table.load([job(moved)], at("10:30:00"), at("10:30:01"));
  expect(due(table, "10:30:01")).toEqual([]);
});

it("separates the slots of a paused job, and keeps them missed after the pause", async () => {
  const table = await tableOf(job({ paused: PAUSED, since: PAUSED.at }));
  expect(missed(table, "10:10:00")).toEqual(["10:10:00"]);
  expect(due(table, "10:10:00")).toEqual([]);
  await table.load([job({ since: at("10:10:01") })], START, at("10:10:02"));
  expect(table.due(at("10:20:00")).due).toEqual([
    { jobId: "job", scheduledFor: at("10:10:00"), missed: "the job is paused by ann" },
    { jobId: "job", scheduledFor: at("10:20:00") },
  ]);
});

it("continues from the present after the clock had been ahead", async () => {
  const table = await tableOf(job());
  await table.markDone(at("18:00:00"));
  await table.turnBack(at("12:00:00"));
  expect(due(table, "12:10:00")).toEqual(["12:10:00"]);
  await table.load([job({ id: "saved meanwhile", since: at("18:00:00") })], at("12:00:00"), at("12:00:00"));
  expect(due(table, "12:10:00")).toEqual(["12:10:00"]);
});
