/** Tests of the calls that create a run, trigger and rerun: what they answer, and when. */
import { request } from "node:http";
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

it("answers a trigger at once with the run and its location", async () => {
  await service.client.putJob("slow-answer", { command: "sleep 60", timeout: "1s" });
  const { body, headers } = await call("post", "/jobs/slow-answer/trigger").expect(202);
  expect(headers).toMatchObject({ location: `/api/v1/runs/${body.id}`, "x-run-id": body.id });
  expect(["queued", "running"]).toContain(headers["x-run-state"]);
  expect(headers["x-exit-code"]).toBeUndefined();

  const waited = await call("get", `/runs/${body.id}?wait=30s`).expect(200);
  expect(waited.headers).toMatchObject({ "x-run-state": "failed", "x-exit-code": "124" });
  expect(waited.body).toMatchObject({ status: 124, attempts: [{ state: "timed_out", status: 124 }] });
});

it("waits for the end with ?wait, and answers 202 when the run takes longer", async () => {
  await service.client.putJob("quick", { command: "echo $GREETING; exit 3", env: { GREETING: "hello" } });
  const done = await call("post", "/jobs/quick/trigger?wait=30s")
    .send({ env: { GREETING: "bonjour" } })
    .expect(200);
  expect(done.headers).toMatchObject({ "x-run-state": "failed", "x-exit-code": "3" });
  expect(done.body).toMatchObject({ log: "bonjour\n", env: { GREETING: "bonjour" }, triggered_by: "api" });

  await service.client.putJob("long", { command: "sleep 2" });
  const not = await call("post", "/jobs/long/trigger?wait=50ms").expect(202);
  expect(not.body.state).toMatch(/queued|running/);
  await call("get", `/runs/${not.body.id}?wait=56s`).expect(400);
});

it("refuses triggers of unknown jobs and with unknown fields", async () => {
  expect((await call("post", "/jobs/nobody/trigger").expect(404)).body.code).toBe("job_not_found");
  expect(
    (await call("post", "/jobs/quick/trigger").send({ command: "rm" }).expect(422)).body.errors[0].path,
  ).toBe("command");
});

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
  it("returns the log, with the state in the headers", async () => {
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

it("continues a run when the waiting client disconnects", async () => {
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
  it("comes at once for a skipped run: 200 with a wait, 202 without, 424 with fail", async () => {
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
      const { body } = await call("post", `${path}?wait=30s&fail=true`).expect(424);
      const why = "the job has reached its limit of 1 active run";
      expect(body.code).toBe("run_failed");
      expect(body.detail).toMatch(new RegExp(`^The run [0-9a-f-]{36} ended as skipped: ${why}\\.$`));
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

  it("is refused for an unknown run and for a deleted or disabled job", async () => {
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
