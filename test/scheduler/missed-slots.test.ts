/** Tests of gaps between beats: what happens to their slots under each policy, and to jobs that changed meanwhile. */
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { recordGap } from "../../src/scheduler/missed-slots.ts";
import { countPausedSlots } from "../../src/scheduler/paused-slots.ts";
import { pauseJob, resumeJob } from "../../src/schedules/pause.ts";
import { deleteJob } from "../../src/schedules/save-job.ts";
import { ADMINISTRATOR, UTC } from "../support/test-infra.ts";
import { type TestScheduler, testScheduler } from "../support/test-scheduler.ts";

const at = (time: string, day = "07") => new Date(`2030-01-${day}T${time}Z`);
const LONG_AGO = new Date("2029-01-01T00:00:00Z");
const EVERY_MINUTE = "* * * * *";
const EVERY_SECOND = "* * * * * *";

let scheduler: TestScheduler;
beforeEach(async () => {
  scheduler = await testScheduler();
});
afterEach(() => scheduler?.[Symbol.asyncDispose]());

const runRows = () => scheduler.infra.db.prisma.run.findMany({ orderBy: { scheduledFor: "asc" } });

/** Returns how many slots each row counts that counts several. */
async function leftOut(): Promise<number[]> {
  const counts = (await runRows()).map((run) => /^(\d+) \w+ slots? left out, /.exec(run.reason ?? "")?.[1]);
  return counts.filter((count) => count !== undefined).map(Number);
}

describe.each([
  { down: "10 minutes", back: at("10:10:30"), slots: 10 },
  { down: "an hour", back: at("11:00:30"), slots: 60 },
  { down: "a day", back: at("10:00:30", "08"), slots: 1440 },
])("after $down without a scheduler", ({ back, slots }) => {
  it.each([
    { policy: "skip", caughtUp: 0 },
    { policy: "last", caughtUp: 1 },
    { policy: "all", caughtUp: Math.min(slots, 100) },
  ])("policy $policy creates $caughtUp catch-up runs", async ({ policy, caughtUp }) => {
    const job = { cron: EVERY_MINUTE, missed_runs: policy, catchup_window: "1d" };
    await scheduler.putJob("job", job, LONG_AGO);
    await scheduler.beatAt(at("10:00:30"));
    await scheduler.restartAt(back);
    const runs = await runRows();
    const rows = Math.min(slots, 101);
    expect(runs.map((run) => run.scheduledFor?.getTime())).toEqual(
      Array.from({ length: rows }, (_, n) => back.getTime() - 30_000 - (rows - 1 - n) * 60_000),
    );
    const late = runs.filter((run) => run.triggeredBy === "catch_up");
    expect(late).toEqual(caughtUp === 0 ? [] : runs.slice(-caughtUp));
    expect(runs.filter((run) => run.state === "missed")).toHaveLength(rows - caughtUp);
    expect(runs.filter((run) => run.messageId !== null)).toHaveLength(caughtUp);
    expect(await leftOut()).toEqual(slots > 100 ? [slots - 100] : []);

    await scheduler.restartAt(back);
    await scheduler.beatAt(new Date(back.getTime() + 2_000));
    expect(await runRows()).toEqual(runs);
  });
});

it("warns of a gap with slots, and only mentions one without", async () => {
  const { levels } = pino;
  await scheduler.beatAt(at("10:00:30"), at("10:10:30"));
  expect(scheduler.log).toMatchObject([
    { level: levels.values["info"], rows: 0, msg: expect.stringContaining("no cron slot of it has to be") },
  ]);
  await scheduler.putJob("job", { cron: EVERY_MINUTE }, LONG_AGO);
  await scheduler.beatAt(at("10:20:30"));
  expect(scheduler.log.slice(1)).toMatchObject([
    { level: levels.values["warn"], rows: 10, msg: expect.stringContaining("are recorded as missed") },
  ]);
});

it("counts slots older than catchup_window in one row", async () => {
  const short = { cron: EVERY_MINUTE, catchup_window: "3m" };
  await scheduler.putJob("job", { ...short, missed_runs: "all" }, LONG_AGO);
  await scheduler.beatAt(at("10:00:30"), at("10:30:30"));
  expect(await scheduler.slots()).toEqual([
    "10:27 missed",
    "10:28 catch_up",
    "10:29 catch_up",
    "10:30 catch_up",
  ]);
  expect((await runRows())[0]?.reason).toBe(
    "27 older slots left out, 2030-01-07T10:01:00Z to 2030-01-07T10:27:00Z; no scheduler could create its run in time",
  );
});

it("leaves no slot out, however short the window is and however the job changed meanwhile", async () => {
  const windows = { "0s": 0, "1ms": 1, "500ms": 1, "1s": 1, "5s": 1, "30s": 6, "1d": 12 };
  for (const window of Object.keys(windows)) {
    const job = { cron: "*/5 * * * * *", missed_runs: "all", catchup_window: window };
    await scheduler.putJob(window, job, LONG_AGO);
  }
  await scheduler.putJob("changed", { cron: "*/5 * * * * *", catchup_window: "5s" }, LONG_AGO);
  await scheduler.beatAt(at("10:00:01"));
  await scheduler.putJob("changed", { cron: "*/10 * * * * *", catchup_window: "5s" }, at("10:00:31"));
  await scheduler.restartAt(at("10:01:01"));
  for (const [window, late] of Object.entries(windows)) {
    const slots = await scheduler.slots(window);
    const runs = await scheduler.infra.db.prisma.run.findMany({ where: { job: { name: window } } });
    const counts = runs.map((run) => Number(/^(\d+) older slots left out/.exec(run.reason ?? "")?.[1] ?? 1));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(12);
    expect(slots.filter((slot) => slot.endsWith("catch_up"))).toHaveLength(late);
  }
  // Of the old expression: 10:00:05 to 10:00:30; of the new one: 10:00:40, 10:00:50 and, within the window, 10:01:00.
  expect(await scheduler.slots("changed")).toEqual(["10:00:50 missed", "10:01 catch_up"]);
  const changed = await scheduler.infra.db.prisma.run.findMany({ where: { job: { name: "changed" } } });
  expect(changed.map((run) => run.reason)).toContainEqual(
    expect.stringMatching(/^8 older slots left out, 2030-01-07T10:00:05Z to 2030-01-07T10:00:50Z; /),
  );
});

it("runs the newest slot of the last hour late unless the job says otherwise", async () => {
  await scheduler.putJob("nightly", { cron: "0 10 * * *" }, LONG_AGO);
  await scheduler.putJob("earlier", { cron: "30 8 * * *" }, LONG_AGO);
  await scheduler.beatAt(at("08:00:00"), at("10:40:00"));
  expect(await scheduler.slots("nightly")).toEqual(["10:00 catch_up"]);
  expect(await scheduler.slots("earlier")).toEqual(["08:30 missed"]);
});

it("does not treat a restart or a slightly late beat as a gap", async () => {
  await scheduler.putJob("job", { cron: "*/5 * * * * *" }, LONG_AGO);
  await scheduler.beatAt(at("10:00:00"), at("10:00:07"));
  await scheduler.restartAt(at("10:00:17"));
  expect(await scheduler.slots()).toEqual(["10:00:05 cron", "10:00:10 skipped", "10:00:15 skipped"]);
});

it("creates an ordinary run for the slot of the first beat after a gap", async () => {
  await scheduler.putJob("job", { cron: EVERY_MINUTE, missed_runs: "last" }, LONG_AGO);
  await scheduler.beatAt(at("10:00:01"), at("10:03:00"));
  expect(await scheduler.slots()).toEqual(["10:01 missed", "10:02 catch_up", "10:03 cron"]);
});

it("has no gap while another scheduler runs", async () => {
  await scheduler.putJob("job", { cron: EVERY_MINUTE, missed_runs: "all" }, LONG_AGO);
  await scheduler.beatAt(at("10:00:01"));
  for (const second of ["05", "10", "15", "20"]) await scheduler.restartAt(at(`10:00:${second}`));
  await scheduler.beatAt(at("10:00:25"));
  await scheduler.restartAt(at("10:00:35"));
  await scheduler.restartAt(at("10:00:45"));
  await scheduler.restartAt(at("10:00:55"));
  await scheduler.restartAt(at("10:01:02"));
  await scheduler.beatAt(at("10:01:04"));
  expect(await scheduler.slots()).toEqual(["10:01 cron"]);
});

it("creates one row per slot and one catch-up run when two schedulers record the same gap", async () => {
  const gap = { after: at("10:00:30"), until: at("10:05:30") };
  for (const name of ["one", "two", "three"]) {
    await scheduler.putJob(
      name,
      { cron: EVERY_SECOND, missed_runs: "last", catchup_window: "20s" },
      LONG_AGO,
    );
  }
  await scheduler.beatAt(gap.after);
  const later = { ...gap, until: at("10:05:31") };
  await Promise.all([recordGap(scheduler.infra, gap, UTC), recordGap(scheduler.infra, later, UTC)]);
  // The process ended before it recorded its progress.
  await scheduler.restartAt(at("10:05:33"));
  for (const name of ["one", "two", "three"]) {
    const slots = await scheduler.slots(name);
    expect(slots.filter((slot) => slot.endsWith("catch_up"))).toHaveLength(1);
    expect(slots.filter((slot) => slot.endsWith("missed")).length).toBeGreaterThan(18);
    expect(slots.at(-1)).toBe("10:05:33 cron");
  }
});

describe("a job that changed while no scheduler ran", () => {
  const down = at("10:00:30");
  const beatAt = (now: Date) => scheduler.beatAt(now);

  it("records slots of the old revision as missed, and catches up with slots of the new one", async () => {
    await scheduler.putJob("job", { cron: "*/10 * * * *", missed_runs: "all" }, LONG_AGO);
    await beatAt(down);
    await scheduler.putJob("job", { cron: "5,15,25,35 * * * *", missed_runs: "all" }, at("10:12:00"));
    await beatAt(at("10:30:30"));
    expect(await scheduler.slots()).toEqual(["10:10 missed", "10:15 catch_up", "10:25 catch_up"]);
    const { revision } = await scheduler.infra.db.prisma.run.findFirstOrThrow({
      include: { revision: true },
    });
    expect(revision.number).toBe(2);
  });

  it("has no slots from before its creation, while it is disabled or after its deletion", async () => {
    const cron = "*/10 * * * *";
    await scheduler.putJob("off", { cron }, LONG_AGO);
    await scheduler.putJob("between", { cron }, LONG_AGO);
    await scheduler.putJob("gone", { cron }, LONG_AGO);
    await beatAt(down);
    await scheduler.putJob("new", { cron, missed_runs: "all" }, at("10:12:00"));
    await scheduler.putJob("off", { cron, enabled: false }, at("10:12:00"));
    await scheduler.putJob("between", { cron, enabled: false }, at("10:12:00"));
    await scheduler.putJob("between", { cron, missed_runs: "all" }, at("10:22:00"));
    await deleteJob(scheduler.infra, ADMINISTRATOR, "gone");
    await beatAt(at("10:30:30"));
    expect(await scheduler.slots("new")).toEqual(["10:20 catch_up", "10:30 catch_up"]);
    expect(await scheduler.slots("off")).toEqual([]);
    expect(await scheduler.slots("between")).toEqual(["10:10 missed", "10:30 catch_up"]);
    expect(await scheduler.slots("gone")).toEqual([]);
  });

  it("creates no run for a past slot of a new time zone", async () => {
    await scheduler.putJob("job", { cron: "0 12 * * *", missed_runs: "last" }, LONG_AGO);
    await beatAt(down);
    const { prisma } = scheduler.infra.db;
    const moved = { tzLocation: "Europe/Brussels", updatedAt: at("11:30:00") };
    await prisma.schedule.updateMany({ data: moved });
    await prisma.definitionVersion.updateMany({ data: { version: { increment: 1 } } });
    await beatAt(at("11:40:00"));
    expect(await scheduler.slots()).toEqual(["11:00 missed"]);
    await beatAt(at("11:00:00", "08"));
    expect(await scheduler.slots()).toEqual(["11:00 missed", "11:00 cron"]);
  });
});

describe("a paused job", () => {
  const { pausedAt } = { pausedAt: at("10:00:40") };

  async function pause(resumed = false): Promise<void> {
    if (resumed) await resumeJob(scheduler.infra, ADMINISTRATOR, "job");
    else await pauseJob(scheduler.infra, ADMINISTRATOR, "job", { by: "ann", reason: "descaling" });
    const { prisma } = scheduler.infra.db;
    if (!resumed) await prisma.job.updateMany({ data: { pausedAt, updatedAt: pausedAt } });
  }

  it("records its slots as missed while a scheduler runs, and never catches up with them", async () => {
    await scheduler.putJob("job", { cron: EVERY_MINUTE, missed_runs: "all" }, LONG_AGO);
    await scheduler.beatAt(at("10:00:30"));
    await pause();
    await scheduler.beatAt(at("10:00:55"), at("10:01:00"), at("10:01:01"));
    expect(await scheduler.slots()).toEqual(["10:01 missed"]);
    const [row] = await runRows();
    expect(row).toMatchObject({ trigger: "cron", reason: "the job is paused by ann: descaling" });
    await pause(true);
    await scheduler.infra.db.prisma.job.updateMany({ data: { updatedAt: at("10:01:05") } });
    await scheduler.beatAt(at("10:01:09"));
    expect(await scheduler.slots()).toEqual(["10:01 missed"]);
    await scheduler.restartAt(at("10:01:15"));
    await scheduler.restartAt(at("10:02:01"));
    expect(await scheduler.slots()).toEqual(["10:01 missed", "10:02 catch_up"]);
  });

  it("creates no run after a gap, whatever its policy", async () => {
    await scheduler.putJob("job", { cron: EVERY_MINUTE, missed_runs: "all" }, LONG_AGO);
    await scheduler.beatAt(at("10:00:30"));
    await pause();
    await scheduler.beatAt(at("10:03:30"));
    expect(await scheduler.slots()).toEqual(["10:01 missed", "10:02 missed", "10:03 missed"]);
    const reasons = (await runRows()).map((run) => run.reason);
    expect(new Set(reasons)).toEqual(new Set(["the job is paused by ann: descaling"]));
  });

  it("records the first 100 slots of a pause, and counts all others in one row", async () => {
    const jobId = await scheduler.putJob("job", { cron: EVERY_SECOND }, LONG_AGO);
    await scheduler.beatAt(at("10:00:40"));
    await pause();
    for (let second = 45; second <= 155; second += 10) {
      await scheduler.beatAt(new Date(at("10:00:00").getTime() + second * 1_000));
    }
    const paused = { at: pausedAt, by: "ann", reason: "descaling" };
    // Another scheduler has the same slots.
    await countPausedSlots(scheduler.infra, [{ jobId, paused, slots: [at("10:02:34"), at("10:02:35")] }]);
    const rows = await runRows();
    expect(rows).toHaveLength(101);
    expect(rows.at(-1)).toMatchObject({
      scheduledFor: at("10:02:35"),
      reason:
        "15 more slots left out, 2030-01-07T10:02:21Z to 2030-01-07T10:02:35Z; the job is paused by ann: descaling",
    });
  });
});
