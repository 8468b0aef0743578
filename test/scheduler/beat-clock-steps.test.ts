/** Tests of clock steps: no slot fires twice, no flood of runs follows, and cron continues at once. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { type TestScheduler, testScheduler } from "../support/test-scheduler.ts";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const LONG_AGO = new Date("2029-01-01T00:00:00Z");
const NOON = Date.parse("2030-01-07T12:00:00Z");

let scheduler: TestScheduler;
beforeEach(async () => {
  scheduler = await testScheduler();
});
afterEach(() => scheduler?.[Symbol.asyncDispose]());

/** Does the beats of 30 s, one every 5 s. */
const beatFrom = (from: number) =>
  scheduler.beatAt(...Array.from({ length: 7 }, (_, n) => new Date(from + n * 5 * SECOND)));

/** Returns the slots of all rows, in seconds from noon. A slot with two rows appears twice. */
async function rows(job: string, ...states: string[]): Promise<number[]> {
  const runs = await scheduler.infra.db.prisma.run.findMany({
    where: { job: { name: job } },
    orderBy: { scheduledFor: "asc" },
  });
  const wanted = runs.filter(({ state }) => states.length === 0 || states.includes(state));
  return wanted.map((run) => (Number(run.scheduledFor) - NOON) / SECOND);
}

const RAN = ["queued", "skipped"];
const later = (by: number, ...slots: number[]) => slots.map((slot) => slot + by / SECOND);

it("continues at once after a step back of 2 h, and creates no run twice when the time comes again", async () => {
  await scheduler.putJob("job", { cron: "*/10 * * * * *" }, LONG_AGO);
  await beatFrom(NOON + 1);
  expect(await rows("job", ...RAN)).toEqual([10, 20, 30]);
  await scheduler.putJob("saved", { cron: "*/10 * * * * *" }, new Date(NOON + 30 * SECOND));
  await beatFrom(NOON - 2 * HOUR + 1);
  const again = later(-2 * HOUR, 10, 20, 30);
  expect(await rows("job", ...RAN)).toEqual([...again, 10, 20, 30]);
  expect(await rows("saved", ...RAN)).toEqual(again);
  await scheduler.restartAt(new Date(NOON - 2 * HOUR + 36 * SECOND));

  for (let at = NOON - 2 * HOUR + 40 * SECOND; at < NOON; at += 10 * 60 * SECOND) {
    await scheduler.restartAt(new Date(at));
  }
  const before = (await rows("job", ...RAN)).filter((slot) => slot > 0);
  await beatFrom(NOON + 1);
  expect((await rows("job", ...RAN)).filter((slot) => slot > 0)).toEqual(before);
});

it("creates no run twice after a small step back", async () => {
  await scheduler.putJob("job", { cron: "* * * * * *" }, LONG_AGO);
  const beats = [0, 1, 2, 3, 1, 2, 3, 4].map((second) => new Date(NOON + second * SECOND));
  await scheduler.beatAt(...beats);
  expect(await rows("job")).toEqual([1, 2, 3, 4]);
});

it.each([
  { policy: "skip", ran: [] },
  { policy: "last", ran: [2 * 3_600 - 10] },
])("treats a step ahead of 2 h as a gap with the policy $policy", async ({ policy, ran }) => {
  const job = { cron: "*/10 * * * * *", missed_runs: policy, catchup_window: "1d" };
  await scheduler.putJob("job", job, LONG_AGO);
  await scheduler.beatAt(new Date(NOON + 1), new Date(NOON + 2 * HOUR + 1));
  // A hundred rows of their own, one that counts the others, and the run of this beat.
  expect(await rows("job")).toHaveLength(102);
  expect(await rows("job", ...RAN)).toEqual([...ran, 2 * 3_600]);
});

it("continues when the clock was days ahead and is set back", async () => {
  const ahead = NOON + 3 * DAY;
  await scheduler.putJob("tick", { cron: "*/10 * * * * *" }, LONG_AGO);
  await scheduler.putJob(
    "daily",
    { cron: "0 12 * * *", missed_runs: "last", catchup_window: "7d" },
    LONG_AGO,
  );
  await scheduler.beatAt(new Date(NOON + 1));
  await beatFrom(ahead + 5 * SECOND);
  // Of the three slots the first two were missed. The last one has run: a catch-up that came too early.
  expect(await rows("daily", "missed")).toEqual([86_400, 2 * 86_400]);
  expect(await rows("daily", ...RAN)).toEqual([3 * 86_400]);
  await scheduler.putJob("saved", { cron: "*/10 * * * * *" }, new Date(ahead));

  await beatFrom(NOON + 40 * SECOND + 1);
  // The first slots passed while the clock was ahead: the newest of them runs late.
  expect((await rows("tick", "missed")).filter((slot) => slot < 86_400)).toEqual([10, 20]);
  expect((await rows("tick", ...RAN)).filter((slot) => slot < 86_400)).toEqual([30, 40, 50, 60, 70]);
  expect(await rows("saved", ...RAN)).toEqual([50, 60, 70]);
  // No future slot is recorded as missed.
  expect((await rows("daily", "missed")).filter((slot) => slot > 70)).toEqual([]);

  await scheduler.beatAt(new Date(NOON + DAY - SECOND), new Date(NOON + DAY));
  expect(await rows("daily", ...RAN)).toEqual([86_400, 3 * 86_400]);
  await scheduler.beatAt(new Date(ahead - SECOND), new Date(ahead));
  const ran = (await rows("daily", ...RAN)).filter((slot) => slot === 3 * 86_400);
  expect(ran).toHaveLength(1);
});

it("continues in a scheduler when another one has already turned the progress back", async () => {
  await scheduler.putJob("job", { cron: "*/10 * * * * *" }, LONG_AGO);
  await beatFrom(NOON + 2 * DAY + 1);
  await scheduler.restartAt(new Date(NOON + 1));
  await beatFrom(NOON + 2 * SECOND);
  expect((await rows("job", ...RAN)).filter((slot) => slot < 86_400)).toEqual([10, 20, 30]);
});
