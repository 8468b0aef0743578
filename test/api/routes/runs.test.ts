/** The calls on runs: trigger, wait, list, read and log. */
import supertest from "supertest";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ SECRET_OF_THE_SERVICE: "hidden", LANG: "C.UTF-8" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = (method: "get" | "post", path: string) =>
  supertest(service.url)[method](`/api/v1${path}`).set("authorization", `Bearer ${service.token}`);

it("answers a trigger at once, with where to look and the run", async () => {
  await service.client.putJob("slow", { command: "sleep 60", timeout: "1s" });
  const { body, headers } = await call("post", "/jobs/slow/trigger").expect(202);
  expect(headers).toMatchObject({ location: `/api/v1/runs/${body.id}`, "x-run-id": body.id });
  expect(["queued", "running"]).toContain(headers["x-run-state"]);
  expect(headers["x-exit-code"]).toBeUndefined();

  const waited = await call("get", `/runs/${body.id}?wait=30s`).expect(200);
  expect(waited.headers).toMatchObject({ "x-run-state": "failed", "x-exit-code": "124" });
  expect(waited.body).toMatchObject({ status: 124, attempts: [{ state: "timed_out", status: 124 }] });
});

it("gives a failed run the reason of its last attempt, and no reason where an exit code says it", async () => {
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

it("waits for the end when it is asked to, and answers 202 when that takes longer", async () => {
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

it("gives commands an environment of its own: the allow-list, the job's env and what tells them of their run", async () => {
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

it("keeps stdout and stderr in their order, and any bytes", async () => {
  await service.client.putJob("mixed", { command: "echo 1; echo 2 >&2; echo 3; printf 'a\\0b\\377c'" });
  const run = await service.client.trigger("mixed", undefined, "30s");
  expect(run.log).toBe("1\n2\n3\na\uFFFDb\uFFFDc");
  const log = await call("get", `/runs/${run.id}/log`).expect(200);
  expect(log.headers["content-type"]).toBe("text/plain; charset=utf-8");
  expect(log.text).toBe(run.log);
});

it("has the log of each attempt", async () => {
  await service.client.putJob("counting", {
    command: "echo x >> n; wc -l < n; exit 1",
    retries: 2,
    retry: { delay: "1ms" },
  });
  const { id } = await service.client.trigger("counting", undefined, "30s");
  const log = async (query: string) =>
    (await call("get", `/runs/${id}/log${query}`)).text.split(/\s+/).filter(Boolean);
  expect(await log("")).toEqual(["3"]);
  expect(await log("?attempt=0")).toEqual(["1"]);
  expect(await log("?attempt=all")).toEqual(["1", "2", "3"]);
  await call("get", `/runs/${id}/log?attempt=3`).expect(404);
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

it("refuses triggers of unknown jobs and with unknown fields", async () => {
  expect((await call("post", "/jobs/nobody/trigger").expect(404)).body.code).toBe("job_not_found");
  expect(
    (await call("post", "/jobs/quick/trigger").send({ command: "rm" }).expect(422)).body.errors[0].path,
  ).toBe("command");
});
