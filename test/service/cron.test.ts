/** Each cron slot becomes one run, on any number of nodes, by the current definition. */
import pg from "pg";
import { describe, it } from "vitest";
import { freshDatabase } from "../support/fresh-database.ts";
import { startTestService } from "../support/test-service.ts";

const EVERY_SECOND = "* * * * * *";

// All wait at the same time for the next seconds.
describe.concurrent("cron", { timeout: 30_000 }, () => {
  it("creates one run per slot on two nodes, and records the slot", async ({ expect }) => {
    await using database = await freshDatabase();
    await using one = await startTestService({ DATABASE_URL: database.connectionString });
    await using two = await startTestService({ DATABASE_URL: database.connectionString, ROLES: "scheduler" });
    expect(two.url).toBe("");
    await one.client.putJob("tick", { command: "true", cron: EVERY_SECOND });
    await expect
      .poll(() => one.client.runs("job=tick").then((runs) => runs.length), { timeout: 15_000 })
      .toBeGreaterThan(4);

    const slots = (await one.client.runs("job=tick")).map((run) => run.scheduled_for).toReversed();
    const first = Date.parse(String(slots[0]));
    expect(slots).toEqual(slots.map((_, i) => new Date(first + i * 1_000).toISOString()));
  });

  it("follows changes of a job at once: no slots when disabled or deleted", async ({ expect }) => {
    await using service = await startTestService();
    const { client } = service;
    const count = (job: string) => service.prisma.run.count({ where: { job: { name: job } } });
    await client.putJob("changing", { command: "true", cron: EVERY_SECOND });
    await client.putJob("steady", { command: "true", cron: EVERY_SECOND });
    await expect.poll(() => count("changing"), { timeout: 15_000 }).toBeGreaterThan(0);

    await client.putJob("changing", { command: "true", cron: EVERY_SECOND, enabled: false });
    const refused = await client.call("POST", "/jobs/changing/trigger");
    expect(refused).toMatchObject({ status: 409, body: { code: "job_disabled" } });
    const [before, beats] = [await count("changing"), await count("steady")];
    await expect.poll(() => count("steady"), { timeout: 15_000 }).toBeGreaterThan(beats + 2);
    expect(await count("changing")).toBe(before);
  });

  it("records correct times on a database set to Europe/Brussels", async ({ expect }) => {
    await using database = await freshDatabase();
    const admin = new pg.Client({ connectionString: database.connectionString });
    await admin.connect();
    await admin.query(`ALTER DATABASE ${database.name} SET timezone TO 'Europe/Brussels'`);
    await admin.end();
    await using service = await startTestService({ DATABASE_URL: database.connectionString });
    const started = Date.now();
    await service.client.putJob("tick", { command: "date +%s", cron: EVERY_SECOND });
    await expect
      .poll(() => service.client.runs("job=tick&state=succeeded"), { timeout: 15_000 })
      .not.toEqual([]);

    const [tick] = await service.client.runs("job=tick&state=succeeded");
    const run = await service.client.run(tick?.id ?? "");
    for (const time of [run.triggered_at, run.scheduled_for, run.started_at, run.finished_at]) {
      expect(Math.abs(Date.parse(String(time)) - started)).toBeLessThan(60_000);
    }
    expect(Math.abs(Number(run.log) * 1_000 - Date.parse(String(run.started_at)))).toBeLessThan(10_000);
    const retrying = await service.client.putJob("later", {
      command: "false",
      retries: 1,
      retry: { delay: "1s" },
    });
    const retried = await service.client.trigger(retrying.name, undefined, "30s");
    expect(retried).toMatchObject({ state: "failed", retry_attempt: 1 });
  });
});
