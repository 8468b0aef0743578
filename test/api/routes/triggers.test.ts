/** The ways to ask for a run and its answer: failing calls, text, a broken connection, a full queue, reruns. */
import { access } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import supertest from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { insertRuns } from "../../support/run-rows.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = (method: "get" | "post", path: string) =>
  supertest(service.url)[method](`/api/v1${path}`).set("authorization", `Bearer ${service.token}`);

describe("?fail=true", () => {
  it("answers 424 with the run's id when the run has failed, and 200 when it has not", async () => {
    await service.client.putJob("exits", { command: "echo out; exit $CODE" });
    const failed = await call("post", "/jobs/exits/trigger?wait=30s&fail=true")
      .send({ env: { CODE: "3" } })
      .expect(424);
    const id = failed.headers["x-run-id"];
    expect(failed.headers).toMatchObject({
      "content-type": expect.stringContaining("application/problem+json"),
      location: `/api/v1/runs/${id}`,
      "x-run-state": "failed",
      "x-exit-code": "3",
    });
    expect(failed.body).toMatchObject({ code: "run_failed", detail: expect.stringContaining(String(id)) });
    expect((await call("get", `/runs/${id}?wait=1s&fail=true`).expect(424)).body.code).toBe("run_failed");

    await call("post", "/jobs/exits/trigger?wait=30s&fail=true")
      .send({ env: { CODE: "0" } })
      .expect(200);
    await call("post", "/jobs/exits/trigger?wait=30s&fail=false")
      .send({ env: { CODE: "1" } })
      .expect(200);
  });

  it("answers 202 when the wait is over first, and is refused without a wait", async () => {
    await service.client.putJob("slow", { command: "sleep 60", timeout: "1s" });
    await call("post", "/jobs/slow/trigger?wait=10ms&fail=true").expect(202);
    const before = (await service.client.runs("job=slow")).length;
    const refused = await call("post", "/jobs/slow/trigger?fail=true").expect(400);
    expect(refused.body.errors).toMatchObject([{ path: "fail", message: expect.stringContaining("wait") }]);
    expect(await service.client.runs("job=slow")).toHaveLength(before);
  });
});

describe("Accept: text/plain", () => {
  it("answers the log, with the state in the headers", async () => {
    await service.client.putJob("prints", { command: "echo one; echo two; exit 4" });
    const done = await call("post", "/jobs/prints/trigger?wait=30s").set("accept", "text/plain").expect(200);
    expect(done.text).toBe("one\ntwo\n");
    expect(done.headers).toMatchObject({
      "content-type": "text/plain; charset=utf-8",
      "x-run-state": "failed",
      "x-exit-code": "4",
    });
    const id = done.headers["x-run-id"];
    expect((await call("get", `/runs/${id}`).set("accept", "text/plain").expect(200)).text).toBe(done.text);
    const json = await call("get", `/runs/${id}`).set("accept", "application/json, text/plain, */*");
    expect(json.body).toMatchObject({ id, log: done.text });
  });
});

it("goes on with a run when whoever waits for it closes the connection", async () => {
  await service.client.putJob("patient", {
    command: "until [ -e patient.go ]; do sleep 0.02; done; echo done",
  });
  const waiting = request(`${service.url}/api/v1/jobs/patient/trigger?wait=30s`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.token}` },
  });
  waiting.on("error", () => undefined);
  waiting.end();
  await expect.poll(async () => (await service.client.runs("job=patient"))[0]?.state).toBe("running");
  const closed = new Promise((resolve) => waiting.once("close", resolve));
  waiting.destroy();
  await closed;
  await service.client.putJob("go", { command: "touch patient.go" });
  await service.client.trigger("go", undefined, "30s");
  const [run] = await service.client.runs("job=patient");
  expect(await service.client.run(String(run?.id), "30s")).toMatchObject({
    state: "succeeded",
    log: "done\n",
  });
});

it("answers 429 to a trigger and a rerun once 1,000 runs of the job wait", async () => {
  await service.client.putJob("full", { command: "sleep 60", timeout: "50s", concurrency: { limit: 1 } });
  const holder = await service.client.trigger("full");
  const waiting = await insertRuns(service.prisma, "full", 999, () => ({ state: "queued" }));
  const last = await call("post", "/jobs/full/trigger").expect(202);
  expect(last.body).toMatchObject({ state: "queued" });
  const refused = await call("post", "/jobs/full/trigger").expect(429).expect("retry-after", "5");
  expect(refused.body.code).toBe("queue_full");
  expect((await call("post", `/runs/${holder.id}/rerun`).expect(429)).body.code).toBe("queue_full");
  await call("post", `/runs/${waiting[0]}/cancel`).expect(200);
  await call("post", "/jobs/full/trigger").expect(202);
});

describe("the end of a wait", () => {
  it("is at once for a skipped run, which ended: 200 with a wait, 202 without, 424 with fail", async () => {
    const concurrency = { limit: 1, policy: "skip" };
    await service.client.putJob("alone", { command: "sleep 60", timeout: "50s", concurrency });
    const { id } = await service.client.trigger("alone");
    for (const path of ["/jobs/alone/trigger", `/runs/${id}/rerun`]) {
      for (const wait of ["30s", "0s"]) {
        const { body, headers } = await call("post", `${path}?wait=${wait}`).expect(200);
        expect(body).toMatchObject({ state: "skipped", status: null, log: "" });
        expect(headers).toMatchObject({ "x-run-state": "skipped", location: `/api/v1/runs/${body.id}` });
      }
      expect((await call("post", path).expect(202)).body.state).toBe("skipped");
      expect((await call("post", `${path}?wait=30s&fail=true`).expect(424)).body.code).toBe("run_failed");
    }
  });

  it("is 202 when the run has not ended, also after 0s", async () => {
    await service.client.putJob("busy-for-long", { command: "sleep 60", timeout: "50s" });
    await call("post", "/jobs/busy-for-long/trigger?wait=0s").expect(202);
  });
});

describe("a rerun", () => {
  it("runs the job as it is now with the env of the run, and says which run it repeats", async () => {
    await service.client.putJob("again", { command: "echo first $GREETING" });
    const { id } = await service.client.trigger("again", { env: { GREETING: "hello" } }, "30s");
    await service.client.putJob("again", { command: "echo second $GREETING" });
    const done = await call("post", `/runs/${id}/rerun?wait=30s`).expect(200);
    expect(done.headers["location"]).toBe(`/api/v1/runs/${done.body.id}`);
    expect(done.body).toMatchObject({
      log: "second hello\n",
      triggered_by: "rerun",
      trigger: { type: "rerun", run_id: id },
    });
    await call("post", `/runs/${id}/rerun`).expect(202);
    const listed = await service.client.runs("job=again&trigger=rerun");
    expect(listed.map(({ trigger }) => trigger.run_id)).toEqual([id, id]);
  });

  it("is refused for a run that is not there, and for a job that is gone or disabled", async () => {
    const nobody = "01890000-0000-7000-8000-000000000000";
    expect((await call("post", `/runs/${nobody}/rerun`).expect(404)).body.code).toBe("run_not_found");
    await service.client.putJob("gone", { command: "true" });
    const { id } = await service.client.trigger("gone", undefined, "30s");
    await service.client.putJob("gone", { command: "true", enabled: false });
    expect((await call("post", `/runs/${id}/rerun`).expect(409)).body.code).toBe("job_disabled");
    await service.client.call("DELETE", "/jobs/gone");
    expect((await call("post", `/runs/${id}/rerun`).expect(404)).body.code).toBe("job_not_found");
  });
});

describe("a cancel", () => {
  it("ends a queued or retrying run once, and refuses one that has ended", async () => {
    await service.client.putJob("busy", { command: "sleep 60", timeout: "50s", concurrency: { limit: 1 } });
    await service.client.trigger("busy");
    const queued = await service.client.trigger("busy");
    const cancelled = await call("post", `/runs/${queued.id}/cancel`).expect(200);
    expect(cancelled.body).toMatchObject({
      state: "cancelled",
      status: null,
      reason: "cancelled on request",
    });
    expect((await call("post", `/runs/${queued.id}/cancel`).expect(200)).body).toEqual(cancelled.body);

    const retry = { limit: 1, delay: "1h" };
    await service.client.putJob("flaky", { command: "exit 5", retry });
    const { id } = await service.client.trigger("flaky");
    await expect.poll(async () => (await service.client.run(id)).state).toBe("retrying");
    const stopped = await call("post", `/runs/${id}/cancel`).expect(200);
    expect(stopped.body).toMatchObject({ state: "cancelled", status: 5, next_attempt_at: null });

    await service.client.putJob("done", { command: "true" });
    const done = await service.client.trigger("done", undefined, "30s");
    expect((await call("post", `/runs/${done.id}/cancel`).expect(409)).body.code).toBe("run_ended");
  });

  it("answers 202 for a run that runs, and 200 once its command has ended", async () => {
    // Only a command that has its trap set can say goodbye; of the end of `sleep` the shell tells on stderr.
    const command =
      "exec 2>/dev/null; trap 'echo bye; exit 7' TERM; touch begun; while :; do sleep 0.01; done";
    await service.client.putJob("endless", { command, retries: 3 });
    const { id } = await service.client.trigger("endless");
    await expect.poll(() => access(join(service.jobsDir, "begun"))).toBeUndefined();
    const asked = await call("post", `/runs/${id}/cancel`).expect(202);
    expect(asked.body).toMatchObject({ id, cancel_requested_at: expect.stringMatching(/Z$/) });
    const ended = await call("post", `/runs/${id}/cancel?wait=20s`).expect(200);
    expect(ended.headers).toMatchObject({ "x-run-state": "cancelled", "x-exit-code": "-1" });
    expect(ended.body).toMatchObject({
      state: "cancelled",
      status: -1,
      reason: "cancelled on request",
      cancel_requested_at: asked.body.cancel_requested_at,
      log: "bye\n",
      attempts: [{ attempt: 0, state: "cancelled", status: -1 }],
    });
    await call("post", `/runs/${id}/cancel`).expect(200);
    await call("post", `/runs/${id}/cancel?fail=true`).expect(400);
  });
});
