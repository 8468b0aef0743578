/** Chains of jobs: parent context to depth 16, the limit, cycles and what a parent was at the time. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Run } from "../support/api-client.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

/** The run that a job has made, ended. */
async function onlyRun(job: string): Promise<Run> {
  const { client } = service;
  await expect.poll(async () => (await client.runs(`job=${job}`)).length, { timeout: 20_000 }).toBe(1);
  const [run] = await client.runs(`job=${job}`);
  return client.run(String(run?.id), "30s");
}

it("carries the context of 16 runs and stops the seventeenth with a reason", {
  timeout: 60_000,
}, async () => {
  const names = Array.from({ length: 17 }, (_, i) => `link${i + 1}`);
  for (const [i, name] of [...names.entries()].toReversed()) {
    const next = names[i + 1];
    await service.client.putJob(name, {
      command: `echo ${name}`,
      ...(next && { on_success: { trigger_job: [next] } }),
    });
  }
  await service.client.trigger("link1");
  const last = await onlyRun("link16");
  const lineage: string[] = [];
  for (let run = last.triggered_by_job_run; run !== undefined; run = run.triggered_by_job_run) {
    lineage.push(`${run.name} ${run.log.trim()} ${run.triggered_by}`);
  }
  const expected = names
    .slice(0, 15)
    .map((name, i) => `${name} ${name} ${i === 0 ? "api" : `job[${names[i - 1]}]`}`);
  expect(lineage).toEqual(expected.toReversed());
  expect(last).toMatchObject({
    state: "succeeded",
    triggered: [],
    not_triggered: [{ name: "link17", event: "on_success", reason: expect.stringContaining("16") }],
  });
  expect(await service.client.runs("job=link17")).toEqual([]);
});

it("shows the parent as it was at the trigger, although a retry of it succeeded later", {
  timeout: 30_000,
}, async () => {
  const { client } = service;
  await client.putJob("watcher", { command: "true" });
  await client.putJob("flaky", {
    command: "echo try; [ -e flaky.done ] || { touch flaky.done; exit 7; }",
    retries: 1,
    retry: { delay: "10ms" },
    on_error: { trigger_job: ["watcher"] },
  });
  const parent = await client.trigger("flaky", undefined, "30s");
  expect(parent).toMatchObject({ state: "succeeded", status: 0, retry_attempt: 1 });
  const child = await onlyRun("watcher");
  expect(child).toMatchObject({
    triggered_by: "job[flaky]",
    triggered_by_job_run: {
      id: parent.id,
      status: 7,
      retry_attempt: 0,
      log: "try\n",
      retries_exhausted: false,
    },
  });
});

it("refuses a cycle, even through a schedule-level action, and saves nothing", async () => {
  const { client } = service;
  const circle = await client.call("PUT", "/schedules/circle", {
    jobs: {
      a: { command: "true", on_success: { trigger_job: ["b"] } },
      b: { command: "true", on_error: { trigger_job: ["a"] } },
    },
  });
  expect(circle).toMatchObject({
    status: 422,
    body: { code: "invalid_document", detail: expect.stringMatching(/a -> b -> a|b -> a -> b/) },
  });
  expect((await client.call("GET", "/schedules/circle")).status).toBe(404);

  const shared = await client.call("PUT", "/schedules/shared", {
    on_success: { trigger_job: ["report"] },
    jobs: { work: { command: "true" }, report: { command: "true", on_error: { trigger_job: ["work"] } } },
  });
  expect(shared).toMatchObject({ status: 422, body: { code: "invalid_document" } });
  expect(
    (await client.call("PUT", "/jobs/self", { command: "true", on_error: { trigger_job: ["self"] } })).status,
  ).toBe(422);
});

it("never lets a schedule-level trigger_job re-trigger the job that it names", async () => {
  const { client } = service;
  await client.call("PUT", "/schedules/reported", {
    on_success: { trigger_job: ["summary"] },
    jobs: { shift: { command: "echo shift" }, summary: { command: "echo summary" } },
  });
  await client.trigger("shift", undefined, "30s");
  const summary = await onlyRun("summary");
  expect(summary).toMatchObject({ state: "succeeded", triggered_by: "job[shift]", triggered: [] });
});

it("fires no actions when the trigger asks for none", async () => {
  const { client } = service;
  await client.putJob("unwanted", { command: "true" });
  await client.putJob("quiet", { command: "true", on_success: { trigger_job: ["unwanted"] } });
  const run = await client.trigger("quiet", { events: false }, "30s");
  expect(run).toMatchObject({ state: "succeeded", triggered: [], deliveries: [] });
  expect(await client.runs("job=unwanted")).toEqual([]);
});

it("stops a cycle that branches at the limit of runs in a chain, and says where", {
  timeout: 90_000,
}, async () => {
  const limit = 60;
  await using small = await startTestService({ CHAIN_RUN_LIMIT: String(limit), WORKER_CONCURRENCY: "8" });
  const names = ["one", "two", "three"];
  // The jobs are made first without their events: an event cannot name a job that does not exist.
  for (const name of names) await small.client.putJob(name, { command: "exit 1" });
  for (const name of names) {
    const events = { on_error: { trigger_job: names.filter((other) => other !== name) }, allow_cycle: true };
    await small.client.putJob(name, { command: "exit 1", ...events });
  }
  await small.client.trigger("one", undefined, "30s");
  const unfinished = async () => (await small.client.runs("state=queued&state=running&limit=200")).length;
  await expect.poll(unfinished, { timeout: 60_000 }).toBe(0);
  const runs = await small.client.runs("limit=200");
  expect(runs).toHaveLength(limit);
  const stopped = runs.flatMap(({ not_triggered }) => not_triggered);
  expect(stopped.length).toBeGreaterThan(0);
  expect(new Set(stopped.map(({ reason }) => reason))).toEqual(
    new Set([`a chain has at most ${limit} runs (CHAIN_RUN_LIMIT)`]),
  );
});
