/** The fields of a job that say how its runs go on, how long they are kept, and who hears of them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caller } from "../../support/authorized-calls.ts";
import { startSink } from "../../support/http-sink.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = caller(() => service);
const HOOK = "https://example.org/hook";
const hook = (target: unknown) => ({ on_error: { notify_webhook: [target] } });

describe("a job that was read", () => {
  const all = {
    name: "all-fields",
    command: "true",
    cron: ["@daily", "0 7 * * 1"],
    env: { CUP: "large", KEY: { secret: "key" } },
    params: ["CUP"],
    user: "nobody",
    retries: 2,
    timeout: "1m30s",
    concurrency: { limit: 3, policy: "replace" },
    missed_runs: "last",
    catchup_window: "2h",
    jitter: "30s",
    pool: "gpu",
    log_limit: "64KiB",
    log_retention_period: "2 weeks",
    allow_cycle: true,
    description: "all of it",
    labels: { team: "coffee" },
    on_error: { notify_webhook: [{ url: HOOK, headers: { Authorization: "Bearer x" } }, `${HOOK}/2`] },
    on_success: { trigger_job: ["all-fields"] },
  };

  it("has every saved field in its canonical form", async () => {
    await call("put", "/secrets/key", { value: "correct horse" }).expect(201);
    await call("put", "/jobs/all-fields", all).expect(201);
    const { body } = await call("get", "/jobs/all-fields").expect(200);
    expect(body).toMatchObject({ ...all, log_retention_period: "14 days", paused: null });
    expect(body).toMatchObject({ timezone: "UTC", inherited_timezone: "UTC" });
  });

  it("can be saved again as it is, and nothing changes", async () => {
    const { body } = await call("get", "/jobs/all-fields").expect(200);
    const saved = await call("put", "/jobs/all-fields", body).expect(200);
    expect(saved.body).toEqual({ ...body, next_runs: expect.anything(), warnings: [] });
    const again = await call("put", "/jobs/all-fields", saved.body).expect(200);
    expect(again.body.revision).toBe(1);
  });

  it("keeps following the zone of its schedule, unless the document names another zone", async () => {
    const { body } = await call("get", "/jobs/all-fields").expect(200);
    const pinned = await call("put", "/jobs/all-fields", { ...body, timezone: "Asia/Tokyo" }).expect(200);
    expect(pinned.body).toMatchObject({ timezone: "Asia/Tokyo", revision: 2 });
    expect(pinned.body).not.toHaveProperty("inherited_timezone");
  });
});

describe("short forms", () => {
  it("mean the long ones", async () => {
    const document = { command: "true", disable_concurrent_execution: true };
    const { body } = await call("put", "/jobs/alone", document).expect(201);
    expect(body.concurrency).toEqual({ limit: 1, policy: "queue" });
    const long = { command: "true", concurrency: { limit: 1 } };
    expect((await call("put", "/jobs/alone", long).expect(200)).body.revision).toBe(1);
    const both = { ...document, concurrency: { limit: 1, policy: "queue" } };
    expect((await call("put", "/jobs/alone", both).expect(200)).body.revision).toBe(1);
  });
});

describe("a bad field", () => {
  it.each<[what: string, fields: object, path: string, message: RegExp]>([
    [
      "two answers",
      { disable_concurrent_execution: true, concurrency: { limit: 2 } },
      "disable_concurrent_execution",
      /differs/,
    ],
    ["no room", { concurrency: { limit: 0 } }, "concurrency.limit", /./],
    ["no limit", { concurrency: { policy: "skip" } }, "concurrency.limit", /./],
    ["another policy", { concurrency: { limit: 1, policy: "drop" } }, "concurrency.policy", /replace/],
    ["another way to make up", { missed_runs: "first" }, "missed_runs", /last/],
    ["too long a look back", { catchup_window: "31d" }, "catchup_window", /at most 30d/],
    ["too much jitter", { jitter: "61m" }, "jitter", /at most 1h/],
    ["an odd pool", { pool: "GPU!" }, "pool", /small letters/],
    ["too small a log", { log_limit: "1023" }, "log_limit", /from 1KiB/],
    ["too large a log", { log_limit: "17 MiB" }, "log_limit", /to 16MiB/],
    ["a parameter twice", { params: ["CUP", "CUP"] }, "params", /listed twice/],
    ["an odd account", { user: "no body" }, "user", /account/],
    [
      "a variable's secret that is not there",
      { env: { KEY: { secret: "s" } } },
      "env.KEY.secret",
      /no secret s/,
    ],
    [
      "a URL's secret that is not there",
      hook({ url: { secret: "s" } }),
      "on_error.notify_webhook.0.url.secret",
      /no secret s/,
    ],
    ["a short retention", { log_retention_period: "0 days" }, "log_retention_period", /30 days/],
    ["an odd retention", { log_retention_period: "5 potatoes" }, "log_retention_period", /30 days/],
    ["too long a retention", { log_retention_period: "101 years" }, "log_retention_period", /100 years/],
    [
      "a secret that is not there",
      hook({ url: HOOK, secret: "s" }),
      "on_error.notify_webhook.0.secret",
      /no secret s/,
    ],
    ["a secret itself", hook({ url: HOOK, secret: "a b!" }), "on_error.notify_webhook.0.secret", /name/],
    [
      "one secret twice",
      hook({ url: HOOK, secret: ["s", "s"] }),
      "on_error.notify_webhook.0.secret",
      /two different secrets/,
    ],
    ["three secrets", hook({ url: HOOK, secret: ["a", "b", "c"] }), "on_error.notify_webhook.0.secret", /./],
    [
      "a secret for Slack",
      { on_error: { notify_slack_webhook: [HOOK, { url: `${HOOK}/2`, secret: "s" }] } },
      "on_error.notify_slack_webhook.1.secret",
      /only notify_webhook supports signatures/,
    ],
    [
      "a secret for Discord",
      { on_error: { notify_discord_webhook: [{ url: HOOK, secret: "s" }] } },
      "on_error.notify_discord_webhook.0.secret",
      /only notify_webhook supports signatures/,
    ],
    ["no URL", hook({ headers: {} }), "on_error.notify_webhook.0.url", /./],
    ["a bad URL", hook({ url: "hook" }), "on_error.notify_webhook.0.url", /http/],
    [
      "our header",
      hook({ url: HOOK, headers: { "Content-Length": "1" } }),
      "on_error.notify_webhook.0.headers.Content-Length",
      /itself/,
    ],
    [
      "our signature",
      hook({ url: HOOK, headers: { "webhook-id": "1" } }),
      "on_error.notify_webhook.0.headers.webhook-id",
      /itself/,
    ],
    [
      "a header's name",
      hook({ url: HOOK, headers: { "a b": "1" } }),
      "on_error.notify_webhook.0.headers.a b",
      /name/,
    ],
    [
      "a header's value",
      hook({ url: HOOK, headers: { a: "1\r\nhost: b" } }),
      "on_error.notify_webhook.0.headers.a",
      /ASCII/,
    ],
    [
      "a header twice",
      hook({ url: HOOK, headers: { a: "1", A: "2" } }),
      "on_error.notify_webhook.0.headers",
      /differ only in upper and lower case/,
    ],
    [
      "one URL, two headers",
      { on_error: { notify_webhook: [HOOK, { url: HOOK, headers: { a: "1" } }] } },
      "on_error.notify_webhook.1",
      /earlier target has the same URL/,
    ],
  ])("is refused: %s", async (_what, fields, path, message) => {
    const { body } = await call("put", "/jobs/bad", { command: "true", ...fields }).expect(422);
    expect(body.errors).toEqual([{ path, message: expect.stringMatching(message) }]);
  });
});

describe("a cycle of jobs", () => {
  const next = (job: string, more = {}) => ({ command: "true", on_success: { trigger_job: [job] }, ...more });

  it("is refused, unless one of its jobs allows cycles", async () => {
    const jobs = { ping: next("pong"), pong: next("ping") };
    const refused = await call("put", "/schedules/circle", { jobs }).expect(422);
    expect(refused.body.detail).toMatch(/ping -> pong -> ping|pong -> ping -> pong/);
    const allowed = { ...jobs, pong: next("ping", { allow_cycle: true }) };
    await call("put", "/schedules/circle", { jobs: allowed }).expect(200);
    await call("patch", "/jobs/pong", { allow_cycle: null }).expect(422);
  });

  it("is refused when only a job outside it allows cycles, even if it passes through a schedule-level action", async () => {
    const jobs = { hub: next("hub", { allow_cycle: true }), left: next("right"), right: next("left") };
    await call("put", "/schedules/circle2", { jobs }).expect(422);
    const shared = {
      on_success: { trigger_job: ["end"] },
      jobs: { end: next("start"), start: { command: "true" } },
    };
    await call("put", "/schedules/circle3", shared).expect(422);
    const said = { ...shared, jobs: { ...shared.jobs, start: { command: "true", allow_cycle: true } } };
    await call("put", "/schedules/circle3", said).expect(200);
  });
});

it("sends the headers of a webhook with each delivery", async () => {
  await using sink = await startSink();
  const target = { url: sink.url("/told"), headers: { Authorization: "Bearer abc" } };
  await call("put", "/jobs/teller", { command: "true", on_success: { notify_webhook: [target] } }).expect(
    201,
  );
  await call("post", "/jobs/teller/trigger").expect(202);
  const told = await sink.next();
  expect(told.headers).toMatchObject({ authorization: "Bearer abc", "content-type": "application/json" });
});
