/** Jobs with jitter that are due on one second start spread over it, and their runs still stand for that slot. */
import { expect, it } from "vitest";
import { startTestService } from "../support/test-service.ts";

const JOBS = 50;
const JITTER_MS = 1_000;

it("spreads the starts of the runs of one slot over the jitter, and starts none too early", {
  timeout: 60_000,
}, async () => {
  await using service = await startTestService({ ROLES: "api,scheduler" });
  const { client, prisma } = service;
  const job = { command: "true", cron: "*/2 * * * * *", jitter: "1s" };
  const jobs = Object.fromEntries(Array.from({ length: JOBS }, (_, n) => [`job-${n}`, job]));
  const saved = await client.call("PUT", "/schedules/spread", { jobs });
  expect(saved.status).toBe(200);
  // A slot that comes while these wait makes none that is queued.
  const queued = { where: { state: "queued" as const } };
  await expect.poll(() => prisma.run.count(queued), { timeout: 20_000 }).toBe(JOBS);

  const waiting = await prisma.run.findMany(queued);
  expect(new Set(waiting.map((run) => run.scheduledFor?.getTime())).size).toBe(1);
  const slot = Number(waiting[0]?.scheduledFor);
  expect(slot % 2_000).toBe(0);
  const delays = waiting.map((run) => Number(run.nextAttemptAt) - slot);
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...delays)).toBeLessThanOrEqual(JITTER_MS);
  // Of 50 among 1,000 a few may coincide.
  expect(new Set(delays).size).toBeGreaterThan(40);

  const environment = { DATABASE_URL: service.database.connectionString, ROLES: "worker" };
  await using _worker = await startTestService(environment);
  const ids = waiting.map((run) => run.id);
  const done = { where: { id: { in: ids }, state: "succeeded" as const } };
  await expect.poll(() => prisma.run.count(done), { timeout: 30_000 }).toBe(JOBS);
  for (const run of await prisma.run.findMany(done)) {
    const asked = waiting.find(({ id }) => id === run.id)?.nextAttemptAt;
    expect(Number(run.startedAt)).toBeGreaterThanOrEqual(Number(asked));
    expect(Number(run.scheduledFor)).toBe(slot);
  }
});
