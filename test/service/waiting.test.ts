/** What lets waiting runs start, and how long a queue may be (promise 11). */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Run } from "../support/api-client.ts";
import { insertRuns } from "../support/run-rows.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

/** Runs until a file of the run's own name is there. */
const HELD = { command: 'touch "$N"; until [ -e "$N.go" ]; do sleep 0.02; done', concurrency: { limit: 1 } };

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ WORKER_CONCURRENCY: "16" });
}, 30_000);
afterAll(async () => {
  for (const name of await readdir(service.jobsDir)) await go(name);
  await service?.[Symbol.asyncDispose]();
});

const go = (name: string) => writeFile(join(service.jobsDir, `${name}.go`), "");
const trigger = (job: string, name: string) => service.client.trigger(job, { env: { N: name } });

async function becomes(run: Run, state: string): Promise<void> {
  await expect.poll(async () => (await service.client.run(run.id)).state, { timeout: 20_000 }).toBe(state);
}

it("starts the oldest waiting run when one ends, fails or is cancelled", { timeout: 30_000 }, async () => {
  const { client } = service;
  await client.putJob("one", HELD);
  const [a, b, c, d] = [
    await trigger("one", "a"),
    await trigger("one", "b"),
    await trigger("one", "c"),
    await trigger("one", "d"),
  ];
  await becomes(a, "running");
  expect((await client.runs("job=one&state=queued")).map(({ id }) => id)).toEqual([d.id, c.id, b.id]);
  expect((await client.call("POST", `/runs/${b.id}/cancel`)).status).toBe(200);
  await go("a");
  await becomes(a, "succeeded");
  await becomes(c, "running");
  expect((await client.run(d.id)).state).toBe("queued");
  await go("c");
  await becomes(d, "running");
  await go("d");
  await becomes(d, "succeeded");
});

it("starts a waiting run when a retrying run, which counts as active, is cancelled", {
  timeout: 30_000,
}, async () => {
  const { client } = service;
  const retry = { limit: 1, delay: "1h" };
  await client.putJob("flaky", { command: "exit $N", retry, concurrency: { limit: 1 } });
  const holder = await trigger("flaky", "1");
  await becomes(holder, "retrying");
  const waiting = await trigger("flaky", "0");
  expect(waiting.state).toBe("queued");
  await client.call("POST", `/runs/${holder.id}/cancel`);
  await becomes(waiting, "succeeded");
});

it("starts as many waiting runs as the limit allows when a save raises or removes it", {
  timeout: 30_000,
}, async () => {
  const { client } = service;
  await client.putJob("wider", HELD);
  const runs: Run[] = [];
  for (const n of [1, 2, 3, 4, 5]) runs.push(await trigger("wider", `wider${n}`));
  const running = async () => (await client.runs("job=wider&state=running")).length;
  await expect.poll(running, { timeout: 10_000 }).toBe(1);
  await client.putJob("wider", { ...HELD, concurrency: { limit: 3 } });
  await expect.poll(running, { timeout: 10_000 }).toBe(3);
  expect(await client.runs("job=wider&state=queued")).toHaveLength(2);
  await client.putJob("wider", { command: HELD.command });
  await expect.poll(running, { timeout: 10_000 }).toBe(5);
  for (const n of [1, 2, 3, 4, 5]) await go(`wider${n}`);
  for (const run of runs) await becomes(run, "succeeded");
});

it("starts a waiting run that recovery finds, although nothing reported the end of the active one", {
  timeout: 30_000,
}, async () => {
  await using other = await startTestService({ ROLES: "api" });
  await other.client.putJob("missed", { ...HELD, command: "true" });
  const [id] = await insertRuns(other.prisma, "missed", 1, () => ({ state: "queued" }));
  await using recovering = await startTestService({ DATABASE_URL: other.database.connectionString });
  expect(await recovering.client.run(String(id), "20s")).toMatchObject({ state: "succeeded" });
});

it("skips a cron slot while another cron run is waiting", { timeout: 30_000 }, async () => {
  const { client } = service;
  await client.putJob("tick", { ...HELD, env: { N: "tick" }, cron: "* * * * * *" });
  const skipped = () => client.runs("job=tick&state=skipped");
  await expect.poll(async () => (await skipped()).length, { timeout: 20_000 }).toBeGreaterThan(1);
  const [run] = await skipped();
  expect(run).toMatchObject({
    triggered_by: "cron",
    status: null,
    reason: expect.stringContaining("is already waiting"),
  });
  expect(await client.runs("job=tick&state=running")).toHaveLength(1);
  expect(await client.runs("job=tick&state=queued")).toHaveLength(1);
  await client.call("DELETE", "/jobs/tick");
  await go("tick");
});

it("skips runs of chains and cron when 1,000 runs wait, where an API call gets 429", async () => {
  const { client, prisma } = service;
  await client.putJob("full", { ...HELD, env: { N: "full" } });
  await client.putJob("parent", { command: "true", on_success: { trigger_job: ["full"] } });
  const holder = await client.trigger("full");
  await becomes(holder, "running");
  await insertRuns(prisma, "full", 1_000, () => ({ state: "queued" }));
  const parent = await client.trigger("parent", undefined, "30s");
  expect(parent).toMatchObject({ state: "succeeded", triggered_runs: [{ name: "full", state: "skipped" }] });
  const child = await client.run(String(parent.triggered_runs[0]?.id));
  expect(child.reason).toContain("1000 runs of this job are already waiting");
  await client.call("DELETE", "/jobs/full");
});
