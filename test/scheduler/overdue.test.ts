/** A process tells that slots are overdue, though it is no scheduler, and how its own beats go when it is one. */
import { expect, it } from "vitest";
import { startTestService, type TestService } from "../support/test-service.ts";

interface Answer {
  scheduler: Record<"last_beat_ms" | "beat_lateness_ms" | "oldest_overdue_ms", number | null>;
}

const stats = async ({ client }: TestService) => (await client.call<Answer>("GET", "/stats")).body.scheduler;

it("tells since when the oldest slot is due, and is ready all the same", async () => {
  await using service = await startTestService({ ROLES: "api" });
  const { client, prisma } = service;
  const none = { last_beat_ms: null, beat_lateness_ms: null, oldest_overdue_ms: null };
  await client.putJob("tick", { command: "true", cron: "* * * * * *" });
  await client.putJob("yearly", { command: "true", cron: "@yearly" });
  expect(await stats(service)).toEqual(none);

  const minuteAgo = new Date(Date.now() - 60_000);
  await prisma.jobRevision.updateMany({ data: { createdAt: new Date(0) } });
  await prisma.job.updateMany({ data: { updatedAt: new Date(0) } });
  await prisma.schedule.updateMany({ data: { updatedAt: new Date(0) } });
  await prisma.schedulerProgress.create({ data: { slotsUntil: minuteAgo } });
  const { oldest_overdue_ms: overdue } = await stats(service);
  expect(overdue).toBeGreaterThanOrEqual(59_000);
  expect(overdue).toBeLessThan(70_000);
  const ready = await fetch(`${service.url}/readyz`);
  expect([ready.status, ((await ready.json()) as Answer).scheduler.oldest_overdue_ms]).toEqual([
    200,
    expect.any(Number),
  ]);

  await client.call("POST", "/jobs/tick/pause");
  expect(await stats(service)).toEqual(none);
});

it("tells how the beats of its own scheduler go", async () => {
  await using service = await startTestService({ ROLES: "api,scheduler" });
  await expect
    .poll(() => stats(service))
    .toEqual({
      last_beat_ms: expect.any(Number),
      beat_lateness_ms: expect.any(Number),
      oldest_overdue_ms: null,
    });
  expect(await (await fetch(`${service.url}/readyz`)).json()).toMatchObject({
    status: "ready",
    scheduler: { oldest_overdue_ms: null },
  });
});
