/** Requests that have broken other services, and exactly how this one answers each. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask } from "../support/raw-http.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

const KB = 1_024;
const NOBODY = "01890000-0000-7000-8000-000000000000";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
  await service.client.putJob("coffee", { command: "true" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

async function expectAnswer(
  [line, headers, body]: [string, (readonly string[])?, (string | Buffer)?],
  status: number,
  code?: string,
): Promise<void> {
  const answer = await ask(service, line, headers, body);
  expect(answer).toEqual({ status, code, body: answer.body });
}

describe("a path or a query", () => {
  it.each([
    ["/api/v1/jobs/..", 400, "bad_request"],
    ["/api/v1/jobs/%2e%2e", 400, "bad_request"],
    ["/api/v1/jobs/..%2f..%2fetc%2fpasswd", 400, "bad_request"],
    ["/api/v1/jobs/../../../etc/passwd", 404, "route_not_found"],
    ["/api/v1/jobs/%00", 400, "bad_request"],
    ["/api/v1/jobs/coffee%00", 400, "bad_request"],
    ["/api/v1/jobs/%ff", 400, "bad_request"],
    ["/api/v1/jobs/%ed%a0%80", 400, "bad_request"],
    ["/api/v1/jobs/%", 400, "bad_request"],
    ["/api/v1/jobs/%zz", 400, "bad_request"],
    ["/api/v1/jobs/%252e%252e", 400, "bad_request"],
    ["/api/v1/jobs/a%0d%0aSet-Cookie:x", 400, "bad_request"],
    [`/api/v1/jobs/${"x".repeat(201)}`, 400, "bad_request"],
    [`/api/v1/jobs/${"x".repeat(8 * KB)}`, 400, "bad_request"],
    [`/api/v1/jobs/${"%F0%9F%94%94".repeat(100)}`, 404, "job_not_found"],
    ["/api/v1/jobs/__proto__", 404, "job_not_found"],
    ["/api/v1/jobs/coffee/", 404, "route_not_found"],
    ["/api/v1//jobs", 404, "route_not_found"],
    ["/API/v1/jobs", 404, "route_not_found"],
    ["/api/v1/jobs;x=1", 404, "route_not_found"],
    ["/api/v1/jobs#x", 400, "bad_request"],
    ["/api/v1/runs/../jobs", 404, "route_not_found"],
    ["/api/v1/runs/1", 400, "bad_request"],
    [`/api/v1/runs/${NOBODY}'--`, 400, "bad_request"],
    [`/api/v1/runs/{${NOBODY}}`, 400, "bad_request"],
    ["/api/v1/jobs/coffee/revisions/1e1", 404, "revision_not_found"],
    ["/api/v1/jobs/coffee/revisions/99999999999", 400, "bad_request"],
    ["/api/v1/jobs?limit=1&limit=2", 400, "bad_request"],
    ["/api/v1/jobs?limit=1e400", 400, "bad_request"],
    ["/api/v1/jobs?limit=NaN", 400, "bad_request"],
    ["/api/v1/jobs?limit=-0", 400, "bad_request"],
    ["/api/v1/jobs?limit=201", 400, "bad_request"],
    ["/api/v1/jobs?limt=1", 400, "bad_request"],
    ["/api/v1/jobs?limit[]=1", 400, "bad_request"],
    ["/api/v1/jobs?__proto__=1", 400, "bad_request"],
    ["/api/v1/jobs?cursor=%00", 400, "bad_request"],
    ["/api/v1/jobs?cursor=bnVsbA", 400, "malformed_cursor"],
    ["/api/v1/jobs?cursor=WyJcdTAwMDAiXQ", 400, "malformed_cursor"],
    [`/api/v1/jobs?${"x".repeat(8 * KB)}`, 400, "bad_request"],
    [`/api/v1/runs?triggered_by=${"x".repeat(8 * KB)}`, 400, "bad_request"],
    [`/api/v1/runs?${"state=failed&".repeat(600)}`, 400, "bad_request"],
    ["/api/v1/runs?triggered_by=%00", 400, "bad_request"],
    ["/api/v1/runs?triggered_by=%ff", 200],
    ["/api/v1/runs?label=%3d", 400, "bad_request"],
    ["/api/v1/runs?since=99999w", 200],
    ["/api/v1/runs?since=0000-01-01T00:00:00Z", 200],
    ["/api/v1/runs?until=9999-12-31T23:59:59Z", 200],
    ["/api/v1/runs?since=2026-02-30T00:00:00Z", 400, "bad_request"],
    ["/api/v1/runs?status=2147483648", 400, "bad_request"],
    [`/api/v1/runs/${NOBODY}?wait=56s`, 400, "bad_request"],
    [`/api/v1/runs/${NOBODY}?wait=-1s`, 400, "bad_request"],
    [`/api/v1/runs/${NOBODY}/log?attempt=1.5`, 400, "bad_request"],
    [`/api/v1/runs/${NOBODY}/log?attempt=99999999999`, 404, "run_not_found"],
  ] as const)("GET %s", async (path, status, code?: string) => {
    await expectAnswer([`GET ${path} HTTP/1.1`], status, code);
  });
});

describe("a Content-Type", () => {
  it.each([
    ["application/json", 200],
    ["Application/JSON; Charset=UTF-8", 200],
    ["application/json ;charset=utf-8", 200],
    ["application/json\t;charset=utf-8", 200],
    ["application/json\tx", 415],
    ["application/ json", 415],
    ["application/json x", 415],
    ["application/jsonx", 415],
    ["application/json, text/plain", 415],
    ["application/json; charset=utf-16", 415],
    ["text/plain", 415],
    ["application/x-www-form-urlencoded", 415],
    ["multipart/form-data; boundary=x", 415],
    ["application/json\x0btext", 400],
    [";", 415],
    ["", 415],
  ])("%j", async (type, status) => {
    const code = { 415: "unsupported_media_type", 400: "bad_request" }[status];
    const headers = [`Content-Type: ${type}`];
    await expectAnswer(["PUT /api/v1/jobs/coffee HTTP/1.1", headers, '{"command":"true"}'], status, code);
  });
});

describe("a request", () => {
  const JSON_TYPE = "Content-Type: application/json";
  const CHUNKED = "Transfer-Encoding: chunked";
  const PUT = "PUT /api/v1/jobs/coffee HTTP/1.1";
  const GET = "GET /api/v1/jobs HTTP/1.1";
  const document = '{"command":"true"}';
  it.each<[string, string, string[], string, number, string?]>([
    ["with both lengths", PUT, [JSON_TYPE, CHUNKED, "Content-Length: 18"], document, 400, "bad_request"],
    [
      "with two lengths",
      PUT,
      [JSON_TYPE, "Content-Length: 18", "Content-Length: 19"],
      document,
      400,
      "bad_request",
    ],
    ["with a length below zero", PUT, [JSON_TYPE, "Content-Length: -1"], document, 400, "bad_request"],
    [
      "with a length that is no number",
      PUT,
      [JSON_TYPE, "Content-Length: 1e1"],
      document,
      400,
      "bad_request",
    ],
    ["with a huge length", PUT, [JSON_TYPE, "Content-Length: 99999999999"], "", 413, "body_too_large"],
    ["in chunks", PUT, [JSON_TYPE, CHUNKED], `12\r\n${document}\r\n0\r\n\r\n`, 200],
    ["in a broken chunk", PUT, [JSON_TYPE, CHUNKED], "zz\r\n", 400, "bad_request"],
    [
      "in chunks beyond the limit",
      PUT,
      [JSON_TYPE, CHUNKED],
      `50000\r\n${"x".repeat(0x50000)}\r\n0\r\n\r\n`,
      413,
      "body_too_large",
    ],
    ["in an unknown coding", PUT, [JSON_TYPE, "Transfer-Encoding: gzip"], document, 400, "bad_request"],
    ["compressed", PUT, [JSON_TYPE, "Content-Encoding: gzip"], document, 415, "unsupported_media_type"],
    ["of HTTP/1.0", "GET /api/v1/jobs HTTP/1.0", [], "", 200],
    ["of HTTP/2.0", "GET /api/v1/jobs HTTP/2.0", [], "", 200],
    ["of HTTP/0.9", "GET /api/v1/jobs", [], "", 200],
    [
      "to the URL of a foreign host",
      "GET http://evil.example/api/v1/jobs HTTP/1.1",
      [],
      "",
      403,
      "foreign_host",
    ],
    ["to an authority", "CONNECT 127.0.0.1:22 HTTP/1.1", [], "", 0],
    ["with a star", "OPTIONS * HTTP/1.1", [], "", 405, "method_not_allowed"],
    ["of the method TRACE", "TRACE /api/v1/jobs HTTP/1.1", [], "", 405, "method_not_allowed"],
    ["of the method OPTIONS", "OPTIONS /api/v1/jobs HTTP/1.1", [], "", 405, "method_not_allowed"],
    ["of the method PATCH on a list", "PATCH /api/v1/jobs HTTP/1.1", [], "", 405, "method_not_allowed"],
    ["of the method PROPFIND", "PROPFIND /api/v1/jobs HTTP/1.1", [], "", 405, "method_not_allowed"],
    ["of an unknown method", "BREW /api/v1/jobs HTTP/1.1", [], "", 400, "bad_request"],
    ["of a method in small letters", "get /api/v1/jobs HTTP/1.1", [], "", 400, "bad_request"],
    [
      "with another method in a header",
      "POST /api/v1/jobs/coffee/resume HTTP/1.1",
      ["X-HTTP-Method-Override: DELETE"],
      "",
      200,
    ],
    ["with 20 kB in a header", GET, [`X-Junk: ${"x".repeat(20 * KB)}`], "", 431, "headers_too_large"],
    [
      "with 20 kB in its line",
      `GET /api/v1/jobs?${"x".repeat(20 * KB)} HTTP/1.1`,
      [],
      "",
      431,
      "headers_too_large",
    ],
    [
      "with 2,000 headers",
      GET,
      Array.from({ length: 2_000 }, (_, i) => `X-${i}: ${i}`),
      "",
      431,
      "headers_too_large",
    ],
    ["with NUL in a header", GET, ["X-Junk: a\0b"], "", 400, "bad_request"],
    ["with a folded header", GET, ["X-Junk: a\r\n b"], "", 400, "bad_request"],
    ["with a bare line end", GET, ["X-Junk: a\nX-More: b"], "", 400, "bad_request"],
    ["with a space before a colon", GET, ["X-Junk : a"], "", 400, "bad_request"],
    ["with bytes above ASCII in a header", GET, ["X-Junk: \xff"], "", 200],
    ["that expects what there is not", GET, ["Expect: coffee"], "", 417],
    [
      "with two keys",
      "POST /api/v1/jobs/coffee/trigger HTTP/1.1",
      ["Idempotency-Key: a", "Idempotency-Key: b"],
      "",
      400,
      "bad_request",
    ],
    [
      "with a key of spaces",
      "POST /api/v1/jobs/coffee/trigger HTTP/1.1",
      ["Idempotency-Key: a b"],
      "",
      400,
      "bad_request",
    ],
    [
      "with a key that is too long",
      "POST /api/v1/jobs/coffee/trigger HTTP/1.1",
      [`Idempotency-Key: ${"k".repeat(256)}`],
      "",
      400,
      "bad_request",
    ],
    ["with an Accept of nothing", GET, ["Accept: ,;q=,*/*;q=x"], "", 200],
    ["to another host as well", "GET /api/v1/jobs HTTP/1.1", ["Host: evil.example"], "", 403, "foreign_host"],
  ])("%s", async (_name, line, headers, body, status, code) => {
    await expectAnswer([line, headers, body], status, code);
  });
});

it("a request may name its host in the request line, as it would to a proxy", async () => {
  await expectAnswer([`GET ${service.url}/api/v1/jobs HTTP/1.1`], 200);
});

it("the service works normally after all these requests", async () => {
  await expectAnswer(["GET /readyz HTTP/1.1"], 200);
});
