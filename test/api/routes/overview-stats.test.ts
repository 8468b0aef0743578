/** What goes on, in numbers. */
import supertest from "supertest";
import { v7 as uuidv7 } from "uuid";
import { expect, it } from "vitest";
import { freshDatabase } from "../../support/fresh-database.ts";
import { insertRuns } from "../../support/run-rows.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

const DAY_MS = 86_400_000;

async function stats(service: TestService) {
  const answer = supertest(service.url).get("/api/v1/stats").set("authorization", `Bearer ${service.token}`);
  return (await answer.expect(200)).body;
}

it("counts active runs, what ended in the last 24 h, deliveries and jobs", async () => {
  await using service = await startTestService({ ROLES: "api" });
  const { client, prisma } = service;
  expect(await stats(service)).toMatchObject({
    runs: { queued: 0, succeeded: 0 },
    waiting: { for_a_place: 0, oldest_ms: null },
    scheduler: { last_beat_ms: null },
    retention: { runs: 0, keys: 0 },
  });
  await client.putJob("one", { command: "true", enabled: true });
  await client.putJob("paused", { command: "true" });
  await client.putJob("off", { command: "true", enabled: false });
  await prisma.job.updateMany({ where: { name: "paused" }, data: { pausedAt: new Date() } });
  const old = new Date(Date.now() - 2 * DAY_MS);
  const states = ["queued", "queued", "running", "retrying", "failed", "failed", "skipped"] as const;
  await insertRuns(prisma, "one", states.length, (index) => {
    const state = states[index] ?? "queued";
    const ended = state === "failed" || state === "skipped";
    return { state, ...(ended && { finishedAt: new Date() }), ...(index === 0 && { triggeredAt: old }) };
  });
  await insertRuns(prisma, "one", 5, () => ({ state: "failed", triggeredAt: old, finishedAt: old }));
  await prisma.run.updateMany({ where: { state: "retrying" }, data: { messageId: uuidv7() } });

  const counted = await stats(service);
  expect(counted).toMatchObject({
    runs: {
      queued: 2,
      running: 1,
      retrying: 1,
      succeeded: 0,
      failed: 2,
      cancelled: 0,
      skipped: 1,
      missed: 0,
    },
    waiting: { for_a_place: 2 },
    deliveries: { pending: 0, delivered: 0, failed: 0, blocked: 0 },
    jobs: { enabled: 1, paused: 1, disabled: 1 },
  });
  expect(counted.waiting.oldest_ms).toBeGreaterThanOrEqual(2 * DAY_MS);
});

it("counts deliveries by state: pending ones of any age, others of the last 24 h", async () => {
  await using service = await startTestService();
  const { client, prisma } = service;
  const url = "http://127.0.0.1:9/";
  await client.putJob("job", { command: "true", on_success: { notify_webhook: [url] } });
  const run = await client.trigger("job", undefined, "30s");
  await expect.poll(async () => (await client.run(run.id)).deliveries[0]?.tries.length).toBe(1);
  const { eventId, jobId, ...row } = await prisma.delivery.findFirstOrThrow();
  const made = (state: "pending" | "failed" | "blocked", ageMs: number) => {
    const createdAt = new Date(Date.now() - ageMs);
    const id = uuidv7({ msecs: createdAt.getTime() });
    return { id, eventId, jobId, action: row.action, url: `${url}${id}`, state, createdAt };
  };
  const old = [made("pending", 2 * DAY_MS), made("failed", 2 * DAY_MS), made("failed", DAY_MS + 1_000)];
  await prisma.delivery.createMany({ data: [...old, made("failed", DAY_MS / 2), made("blocked", 0)] });
  expect((await stats(service)).deliveries).toEqual({ pending: 2, delivered: 0, failed: 1, blocked: 1 });
  expect((await stats(service)).scheduler.last_beat_ms).toEqual(expect.any(Number));
});

it("counts what retention has deleted since the process started", async () => {
  await using database = await freshDatabase();
  const environment = { ROLES: "api", DATABASE_URL: database.connectionString };
  {
    await using before = await startTestService(environment);
    await before.client.putJob("job", { command: "true", log_retention_period: "1 day" });
    const old = new Date(Date.now() - 2 * DAY_MS);
    await insertRuns(before.prisma, "job", 3, () => ({ state: "failed", triggeredAt: old, finishedAt: old }));
  }
  await using service = await startTestService(environment);
  await expect.poll(async () => (await stats(service)).retention).toEqual({ runs: 3, keys: 0 });
});
