/** Tests of the calls that list, read and cancel runs, and of what a run contains. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import supertest from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ SECRET_OF_THE_SERVICE: "hidden", LANG: "C.UTF-8" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = (method: "get" | "post", path: string) =>
  supertest(service.url)[method](`/api/v1${path}`).set("authorization", `Bearer ${service.token}`);

it("gives a failed run the reason of its last attempt, and no reason when an exit code explains it", async () => {
  const reason = "timed out after 50ms";
  const retry = { limit: 1, delay: "10ms" };
  await service.client.putJob("late", { command: "sleep 60", timeout: "50ms", retry });
  const late = await service.client.trigger("late", undefined, "30s");
  expect(late).toMatchObject({ state: "failed", reason, attempts: [{ reason }, { reason }] });
  expect(await service.client.runs("job=late")).toMatchObject([{ reason }]);

  const command = "[ $CARILLON_ATTEMPT = 1 ] && exit 3; sleep 60";
  await service.client.putJob("better", { command, timeout: "500ms", retry });
  const better = await service.client.trigger("better", undefined, "30s");
  expect(better).toMatchObject({
    status: 3,
    reason: null,
    attempts: [{ state: "timed_out" }, { reason: null }],
  });
  expect(await service.client.runs("job=better")).toMatchObject([{ reason: null }]);
});

it("gives commands only the allow-list, the job's env and the variables that describe the run", async () => {
  await service.client.putJob("env", { command: ["env"], env: { CUP: "large" } });
  const { id, log } = await service.client.trigger("env", { triggered_by: "ann" }, "30s");
  const env = Object.fromEntries(
    log
      .trim()
      .split("\n")
      .map((line) => line.split("=", 2)),
  );
  expect(env).toEqual({
    PATH: process.env["PATH"],
    LANG: "C.UTF-8",
    CUP: "large",
    CARILLON_RUN_ID: id,
    CARILLON_JOB: "env",
    CARILLON_ATTEMPT: "0",
    CARILLON_TRIGGERED_BY: "ann",
  });
});

it("explains a command that cannot start in its log", async () => {
  await service.client.putJob("missing", { command: ["/no/such/program"] });
  const missing = await service.client.trigger("missing", undefined, "30s");
  expect(missing).toMatchObject({ state: "failed", status: 127, attempts: [{ state: "start_failed" }] });
  expect(missing.log).toContain("/no/such/program");

  await service.client.putJob("lost-folder", { command: "true", working_directory: "nowhere" });
  const folder = await service.client.trigger("lost-folder", undefined, "30s");
  expect(folder).toMatchObject({ state: "failed", status: 126, attempts: [{ state: "start_failed" }] });
  expect(folder.log).toContain("nowhere");
});

it("backs off between attempts, and does not retry codes outside exit_codes", async () => {
  const retry = { limit: 3, delay: "40ms", backoff: "exponential", exit_codes: [75] };
  await service.client.putJob("picky", { command: "exit $CODE", env: { CODE: "75" }, retry });
  const retried = await service.client.trigger("picky", undefined, "30s");
  expect(retried).toMatchObject({ state: "failed", status: 75, retry_attempt: 3, retries_exhausted: true });
  const gaps = retried.attempts.slice(1).map((attempt, i) => {
    return Date.parse(attempt.started_at) - Date.parse(String(retried.attempts[i]?.finished_at));
  });
  expect(gaps.map((gap, i) => gap >= 40 * 2 ** i)).toEqual([true, true, true]);

  const other = await service.client.trigger("picky", { env: { CODE: "1" } }, "30s");
  expect(other).toMatchObject({ state: "failed", status: 1, retry_attempt: 0, retries_exhausted: true });
});

it("lists runs newest first, filtered, page by page, without logs", async () => {
  await service.client.putJob("listed", { command: "exit $CODE" });
  for (const CODE of ["0", "1", "0"]) await service.client.trigger("listed", { env: { CODE } }, "30s");
  const all = await call("get", "/runs?job=listed").expect(200);
  expect(all.body.items.map((run: { status: number }) => run.status)).toEqual([0, 1, 0]);
  expect(all.body.items[0]).not.toHaveProperty("log");
  expect(all.body.next_cursor).toBeNull();
  const failed = await call("get", "/runs?job=listed&state=failed&state=cancelled").expect(200);
  expect(failed.body.items).toHaveLength(1);

  const first = await call("get", "/runs?job=listed&limit=2").expect(200);
  const next = /<\/api\/v1(.*)>; rel="next"/.exec(String(first.headers["link"]))?.[1];
  const second = await call("get", String(next)).expect(200);
  expect([...first.body.items, ...second.body.items]).toEqual(all.body.items);
});

it.each([
  ["/runs?job=nobody", 404, "job_not_found"],
  ["/runs?state=odd", 400, "bad_request"],
  ["/runs?limit=0", 400, "bad_request"],
  ["/runs?limit=201", 400, "bad_request"],
  ["/runs?cursor=x", 400, "malformed_cursor"],
  ["/runs?cursor=WyJ4Il0", 400, "malformed_cursor"],
  ["/runs?unknown=1", 400, "bad_request"],
  ["/runs/01890000-0000-7000-8000-000000000000", 404, "run_not_found"],
  ["/runs/01890000-0000-7000-8000-000000000000/log", 404, "run_not_found"],
  ["/runs/no-id", 400, "bad_request"],
])("answers GET %s with %i %s", async (path, status, code) => {
  const { body } = await call("get", path).expect(status);
  expect(body.code).toBe(code);
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

  it("answers 202 while the command runs, and 200 after it has ended", async () => {
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
