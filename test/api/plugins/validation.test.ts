/** What a call does not take is refused, and changes nothing. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask } from "../../support/raw-http.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

const NOBODY = "01890000-0000-7000-8000-000000000000";
const BODY = ["Content-Type: application/json"];

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
  await service.client.putJob("coffee", { command: "true", schedule: "kitchen" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

describe("a query", () => {
  it.each([
    ["DELETE", "/jobs/coffee?dry_run=true"],
    ["DELETE", "/schedules/kitchen?dry_run=true"],
    ["GET", "/jobs/coffee?x"],
    ["POST", "/jobs/coffee/resume?x=1"],
    ["GET", "/stats?since=1d"],
  ])("is refused where none is taken: %s %s", async (method, path) => {
    const answer = await service.client.call(method, path);
    expect(answer).toMatchObject({ status: 400, body: { code: "bad_request" } });
    expect((await service.client.call("GET", "/jobs/coffee")).status).toBe(200);
  });

  it("may be anything on the routes for probes and browsers", async () => {
    for (const path of ["/healthz", "/readyz", "/version", "/"])
      expect((await ask(service, `GET ${path}?x=1 HTTP/1.1`)).status).toBe(200);
  });

  it.each([
    "/runs?status=",
    "/runs?status=0x10",
    "/runs?status=%201",
    "/runs?status=1&status=",
    "/runs?limit=",
    "/jobs?limit=1e1",
    "/jobs?limit=1.0",
    "/jobs?limit=%2B1",
    "/jobs/coffee/next?count=",
    "/jobs/coffee/next?count=0x1",
    `/runs/${NOBODY}/log?attempt=`,
    `/runs/${NOBODY}/log?attempt=1.0`,
  ])("accepts only whole decimal numbers: %s", async (path) => {
    expect(await service.client.call("GET", path)).toMatchObject({
      status: 400,
      body: { detail: expect.stringContaining("must be a whole number, given once") },
    });
  });

  it("accepts whole numbers", async () => {
    for (const path of ["/runs?status=-1&status=0&limit=200", "/jobs/coffee/next?count=1"])
      expect((await service.client.call("GET", path)).status).toBe(200);
  });
});

describe("a body", () => {
  it.each([
    ["POST", `/runs/${NOBODY}/rerun`, 404],
    ["POST", `/runs/${NOBODY}/cancel`, 404],
    ["POST", `/deliveries/${NOBODY}/redeliver`, 404],
    ["POST", "/jobs/coffee/resume", 200],
    ["DELETE", "/jobs/coffee", 204],
    ["DELETE", "/schedules/kitchen", 204],
  ])("is refused where none is taken: %s %s", async (method, path, without) => {
    const line = `${method} /api/v1${path} HTTP/1.1`;
    const refused = await ask(service, line, BODY, '{"env":{}}');
    expect(refused).toMatchObject({ status: 400, code: "bad_request" });
    expect(refused.body).toContain("This call accepts no body");
    expect((await ask(service, line, BODY, "")).status).toBe(without);
  });
});

describe("an Idempotency-Key", () => {
  const KEY = ["Idempotency-Key: k"];

  it.each([
    [`POST /api/v1/runs/${NOBODY}/rerun`, ""],
    ["POST /api/v1/jobs?run=true", '{"name":"keyed","command":"true"}'],
  ])("is refused where the call does not store it: %s", async (call, body) => {
    const answer = await ask(service, `${call} HTTP/1.1`, [...KEY, ...BODY], body);
    expect(answer).toMatchObject({ status: 400, code: "bad_request" });
    expect(answer.body).toContain("accepts no Idempotency-Key");
    expect((await service.client.call("GET", "/jobs/keyed")).status).toBe(404);
  });

  it("is accepted on calls that are idempotent anyway", async () => {
    const call = "PUT /api/v1/jobs/again HTTP/1.1";
    expect((await ask(service, call, [...KEY, ...BODY], '{"command":"true"}')).status).toBe(201);
  });
});
