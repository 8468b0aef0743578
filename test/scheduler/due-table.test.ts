/** The table of due times: what is due, what is behind us, and how it follows the definitions. */
import { expect, it } from "vitest";
import type { CronJob } from "../../src/db/slots.ts";
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
    ...more,
  };
}

function tableOf(...jobs: CronJob[]) {
  const table = createDueTable("UTC");
  table.load(jobs, START);
  return table;
}

const times = (slots: { scheduledFor: Date }[]) =>
  slots.map((slot) => slot.scheduledFor.toISOString().slice(11, 19));

it("has no slots before the start, nor before the revision was written", () => {
  expect(times(tableOf(job()).due(at("10:09:59")))).toEqual([]);
  expect(times(tableOf(job()).due(at("10:10:30")))).toEqual(["10:10:00"]);
  expect(times(tableOf(job({ since: at("10:15:00") })).due(at("10:20:00")))).toEqual(["10:20:00"]);
});

it("makes up for a late beat slot by slot, and for a long gap with its last slot", () => {
  const seconds = tableOf(job({ cron: ["* * * * * *"] }));
  expect(times(seconds.due(at("10:00:03")))).toEqual(["10:00:01", "10:00:02", "10:00:03"]);
  expect(seconds.due(at("16:00:00"))).toHaveLength(60);
  expect(times(tableOf(job()).due(at("16:05:00")))).toEqual(["16:00:00"]);
});

it("hands out the slot that came before a new revision, though the beat was late", () => {
  const table = tableOf(job());
  table.load([job({ revisionId: "second", cron: ["45 * * * *"], since: at("10:10:02") })], START);
  expect(times(table.due(at("10:10:03")))).toEqual(["10:10:00"]);
  table.pass(at("10:10:03"));
  expect(table.due(at("10:10:04"))).toEqual([]);
});

it("gives a slot until it is behind us, and never again", () => {
  const table = tableOf(job());
  expect(times(table.due(at("10:10:00")))).toEqual(["10:10:00"]);
  expect(times(table.due(at("10:10:01")))).toEqual(["10:10:00"]);
  table.pass(at("10:10:01"));
  expect(table.due(at("10:19:59"))).toEqual([]);
  expect(times(table.due(at("10:20:00")))).toEqual(["10:20:00"]);
});

it("goes on where it was when a job is loaded again unchanged", () => {
  const table = tableOf(job());
  table.pass(at("10:10:00"));
  table.load([job(), job({ id: "other" })], START);
  expect(table.due(at("10:20:00")).filter((slot) => slot.jobId === "job")).toHaveLength(1);
});

it("takes over a new revision from when it was written, and forgets jobs that are gone", () => {
  const table = tableOf(job(), job({ id: "gone" }));
  table.load(
    [job({ revisionId: "second", cron: ["5 * * * *", "25 * * * *"], since: at("10:02:00") })],
    START,
  );
  expect(times(table.due(at("10:05:00")))).toEqual(["10:05:00"]);
  table.pass(at("10:05:00"));
  expect(times(table.due(at("10:25:00")))).toEqual(["10:25:00"]);
});

it("uses the zone of the job, of its schedule or the default, and a new zone from now on", () => {
  const daily = { cron: ["0 12 * * *"] };
  const zoned = (more: Partial<CronJob>) => times(tableOf(job({ ...daily, ...more })).due(at("23:00:00")));
  expect(zoned({})).toEqual(["12:00:00"]);
  expect(zoned({ scheduleTimezone: "Europe/Brussels" })).toEqual(["11:00:00"]);
  expect(zoned({ scheduleTimezone: "Europe/Brussels", timezone: "America/New_York" })).toEqual(["17:00:00"]);

  const table = tableOf(job(daily));
  table.pass(at("12:00:00"));
  table.load([job({ ...daily, scheduleTimezone: "Europe/Brussels" })], START);
  expect(table.due(at("23:00:00"))).toEqual([]);
});

it("does not make up for slots that a new zone would have had", () => {
  const table = tableOf(job({ cron: ["0 15 * * *"] }));
  table.pass(at("10:30:00"));
  const moved = { cron: ["0 15 * * *"], scheduleTimezone: "Asia/Karachi", since: at("10:30:00") };
  table.load([job(moved)], START);
  expect(table.due(at("10:30:01"))).toEqual([]);
});
