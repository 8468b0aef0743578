/** Tests of the calls that patch a job, rehearse a change, or save a job and run it at once, and of their warnings. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caller } from "../../support/authorized-calls.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ TZ: "Europe/Brussels" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = caller(() => service);

describe("PATCH /jobs/{name}", () => {
  it("changes what it names, removes what is null, and leaves the rest", async () => {
    const document = { command: "brew", cron: "@daily", retries: 1, env: { A: "1", B: "2" }, timeout: "1m" };
    await call("put", "/jobs/tea", document).expect(201);
    const patch = { retries: 5, env: { A: null, C: "3" }, timeout: null, description: "green" };
    const { body } = await call("patch", "/jobs/tea")
      .set("content-type", "application/merge-patch+json")
      .send(JSON.stringify(patch))
      .expect(200);
    expect(body).toMatchObject({ command: "brew", cron: "@daily", retries: 5, revision: 2, warnings: [] });
    expect(body).toMatchObject({ env: { B: "2", C: "3" }, description: "green", inherited_timezone: "UTC" });
    expect(body).not.toHaveProperty("timeout");
  });

  it("lets a short form replace the long one, and the long one the short one", async () => {
    const exclusive = await call("patch", "/jobs/tea", { disable_concurrent_execution: true }).expect(200);
    expect(exclusive.body.concurrency).toEqual({ limit: 1, policy: "queue" });
    const wide = await call("patch", "/jobs/tea", { concurrency: { limit: 4 } }).expect(200);
    expect(wide.body.concurrency).toEqual({ limit: 4, policy: "queue" });
    const long = await call("patch", "/jobs/tea", { retry: { limit: 2, delay: "1m" } }).expect(200);
    expect(long.body).toMatchObject({ retries: 2, retry: { limit: 2, delay: "1m", backoff: "constant" } });
    const none = await call("patch", "/jobs/tea", { retries: null, concurrency: null }).expect(200);
    expect(none.body).toMatchObject({ retries: 0, retry: { delay: "1m" } });
    expect(none.body).not.toHaveProperty("concurrency");
  });

  it("accepts YAML, and writes nothing when nothing changes", async () => {
    const { revision } = (await call("get", "/jobs/tea")).body;
    const { body } = await call("patch", "/jobs/tea")
      .set("content-type", "application/yaml")
      .send("command: brew")
      .expect(200);
    expect(body.revision).toBe(revision);
  });

  it("refuses what a PUT would refuse, and saves nothing", async () => {
    const before = (await call("get", "/jobs/tea")).body;
    const unknown = await call("patch", "/jobs/tea", { comand: "x" }).expect(422);
    expect(unknown.body.errors).toEqual([
      { path: "comand", message: 'unknown field; did you mean "command"?' },
    ]);
    await call("patch", "/jobs/tea", { command: null }).expect(422);
    await call("patch", "/jobs/tea", { name: "coffee" }).expect(422);
    await call("patch", "/jobs/tea", []).expect(422);
    await call("patch", "/jobs/nobody", { command: "x" }).expect(404);
    expect((await call("get", "/jobs/tea")).body.revision).toBe(before.revision);
  });

  it("moves a job to the default schedule when a patch takes its schedule away", async () => {
    await service.client.putJob("moved", { command: "true", schedule: "kitchen" });
    expect((await call("patch", "/jobs/moved", { description: "x" })).body).toMatchObject({
      schedule: "kitchen",
    });
    expect((await call("patch", "/jobs/moved", { schedule: null })).body).toMatchObject({
      schedule: "default",
    });
  });
});

describe("?dry_run=true", () => {
  it("reports what a PUT would do to a job without doing it", async () => {
    const created = await call("put", "/jobs/ghost?dry_run=true", { command: "boo" }).expect(200);
    expect(created.body).toMatchObject({ name: "default", dry_run: true, created: ["ghost"], diff: {} });
    await call("get", "/jobs/ghost").expect(404);
    await call("put", "/jobs/ghost?dry_run=maybe", { command: "boo" }).expect(400);
  });

  it("lists each field that a change would affect", async () => {
    await call("put", "/jobs/dry", { command: "brew" }).expect(201);
    const change = { retries: 3, schedule: "elsewhere" };
    const { body } = await call("patch", "/jobs/dry?dry_run=true", change).expect(200);
    expect(body).toMatchObject({
      updated: ["dry"],
      diff: {
        dry: [
          { path: "schedule", before: "default", after: "elsewhere" },
          { path: "retry.limit", before: 0, after: 3 },
        ],
      },
    });
    const same = await call("put", "/jobs/dry?dry_run=true", { command: "brew" }).expect(200);
    expect(same.body).toMatchObject({ unchanged: ["dry"], updated: [], diff: {} });
    expect((await call("get", "/jobs/dry")).body).toMatchObject({ revision: 1, schedule: "default" });
    await call("get", "/schedules/elsewhere").expect(404);
  });

  it("refuses what the save would refuse", async () => {
    const dangling = { command: "x", on_success: { trigger_job: ["nobody"] } };
    await call("put", "/jobs/ghost?dry_run=true", dangling).expect(422);
  });
});

describe("POST /jobs?run=true", () => {
  it("saves and runs the job, waits for the end, and returns the run", async () => {
    const document = { name: "once", command: "echo hi" };
    const { body, headers } = await call("post", "/jobs?run=true&wait=30s", document).expect(200);
    expect(body).toMatchObject({ name: "once", state: "succeeded", log: "hi\n", triggered_by: "api" });
    expect(headers["location"]).toBe(`/api/v1/runs/${body.id}`);
    await call("get", "/jobs/once").expect(200);
    await call("post", "/jobs?run=true", document).expect(409);
  });

  it("answers 202 when no wait is asked for, and saves no job that cannot run", async () => {
    await call("post", "/jobs?run=true", { name: "later", command: "true" }).expect(202);
    await call("post", "/jobs?run=true", { name: "off", command: "true", enabled: false }).expect(409);
    await call("get", "/jobs/off").expect(404);
    await call("post", "/jobs?wait=1s", { name: "off", command: "true" }).expect(400);
  });
});

describe("warnings", () => {
  const blocked = [
    "http://10.0.0.1/",
    { url: "http://localhost:1/" },
    "http://[::1]/",
    "http://127.0.0.1/ok",
  ];

  it("name each webhook that would be blocked", async () => {
    const { body } = await call("put", "/jobs/warned", {
      command: "x",
      on_error: { notify_slack_webhook: blocked },
    });
    expect(body.warnings).toEqual([
      { path: "on_error.notify_slack_webhook.0", message: expect.stringContaining("WEBHOOK_ALLOW_CIDR") },
      { path: "on_error.notify_slack_webhook.2", message: expect.stringContaining("WEBHOOK_ALLOW_CIDR") },
    ]);
    const patched = await call("patch", "/jobs/warned", { description: "still" }).expect(200);
    expect(patched.body.warnings).toEqual(body.warnings);
    expect((await call("post", "/jobs/validate", { ...body })).body.warnings).toEqual(body.warnings);
  });

  it("name a schedule that has cron jobs but no zone when the host is in another zone", async () => {
    const put = async (document: object) =>
      (await call("put", "/schedules/zone", document).expect(200)).body.warnings;
    const jobs = { zoned: { command: "x", cron: "@daily" } };
    expect(await put({ jobs })).toEqual([
      { path: "tz_location", message: expect.stringContaining("Europe/Brussels") },
    ]);
    expect(await put({ tz_location: "UTC", jobs })).toEqual([]);
    expect(await put({ jobs: { zoned: { ...jobs.zoned, timezone: "UTC" } } })).toEqual([]);
    expect(await put({ jobs: { zoned: { command: "x" } } })).toEqual([]);
  });
});
