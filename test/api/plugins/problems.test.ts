/** How failures are answered, what never leaves the service, and what the API says about itself. */
import { once } from "node:events";
import { connect } from "node:net";
import type { FastifyInstance } from "fastify";
import { pino } from "pino";
import request from "supertest";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { problemSchema } from "../../../src/api/schemas/problem.ts";
import { BEARER, listen, sendRaw } from "../../support/tiny-api.ts";

let app: FastifyInstance;
let port: number;
let log: string[] = [];

beforeAll(async () => {
  const logger = pino({ level: "error" }, { write: (line: string) => log.push(line) });
  ({ app, port } = await listen({ logger }));
});
beforeEach(() => {
  log = [];
});
afterAll(() => app.close());

type Method = "get" | "post" | "put" | "delete" | "options";
const call = (method: Method, path: string) => request(app.server)[method](path).set("Authorization", BEARER);

describe("a document", () => {
  test.each([
    [
      "an unknown field",
      { jobs: { a: { command: "x", crn: "*" } } },
      "jobs.a.crn",
      'unknown field; did you mean "cron"?',
    ],
    ["one that is like nothing", { jobs: {}, zzzzzz: 1 }, "zzzzzz", "unknown field"],
    [
      "one inside a choice",
      { jobs: { a: { command: "x", retry: { limit: 1, dealy: "1s" } } } },
      "jobs.a.retry.dealy",
      'unknown field; did you mean "delay"?',
    ],
    [
      "a wrong item",
      { jobs: { a: { command: ["x", 1] } } },
      "jobs.a.command.1",
      "must be a string: put it in quotes",
    ],
    ["no choice that fits", { jobs: { a: { command: 1 } } }, "jobs.a.command", "must be a string or a list"],
    ["a bad key", { jobs: { A: { command: "x" } } }, "jobs.A", "the key must be in another form"],
    ["no document", [], "body", "must be an object"],
    ["a missing field", {}, "jobs", "is required; an object"],
  ])("with %s gets the path of the error", async (_, body, path, message) => {
    const answer = await call("put", "/schedule").send(body);
    expect(answer.type).toBe("application/problem+json");
    expect(answer.body).toMatchObject({ status: 422, code: "invalid_document", instance: "/schedule" });
    expect(answer.body.type).toBe("urn:carillon:problem:invalid_document");
    expect(answer.body.errors).toEqual([{ path, message: expect.stringContaining(message) }]);
    expect(answer.body.detail).toMatch(/^At .*[.?]$/s);
    expect(answer.body.detail).toContain(`At ${path}: `);
    problemSchema.strict().parse(answer.body);
  });

  test("has one error for each unknown field", async () => {
    const { body } = await call("put", "/schedule").send({ jobs: {}, job: 1, jbos: 2 });
    expect(body.errors.map(({ path }: { path: string }) => path)).toEqual(["job", "jbos"]);
  });

  test("lists an unknown field before the required one that it may stand for", async () => {
    const { body } = await call("put", "/schedule").send({ jobs: { a: { comand: "x" } } });
    expect(body.detail).toBe('At jobs.a.comand: unknown field; did you mean "command"? (1 more in errors).');
    expect(body.errors).toEqual([
      { path: "jobs.a.comand", message: 'unknown field; did you mean "command"?' },
      { path: "jobs.a.command", message: "is required; a string or a list" },
    ]);
  });

  test("cannot make the answer larger than itself", async () => {
    const retry = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x${i}`, 1]));
    const body = { jobs: { ["a".repeat(100_000)]: { command: "x", retry: { limit: 1, ...retry } } } };
    const answer = await call("put", "/schedule").send(body);
    expect(answer.body.errors).toHaveLength(50);
    expect(answer.text.length).toBeLessThan(50_000);
  });

  test("may be absent where the schema says so", async () => {
    await call("put", "/schedule").expect(200);
    await call("put", "/schedule").set("Content-Type", "application/json").expect(200);
  });
});

test.each([
  ["get", "/list?limit=x", 400, "bad_request"],
  ["get", "/list?limti=1", 400, "bad_request"],
  ["get", "/list?limit=%00", 400, "bad_request"],
  ["get", "/private/too-long", 400, "bad_request"],
  ["get", "/private/%00", 400, "bad_request"],
  ["get", "/private/%ff", 400, "bad_request"],
  ["get", "/%zz", 400, "bad_request"],
  ["get", `/private/${"x".repeat(513)}`, 400, "bad_request"],
  ["get", "/nowhere?secret=1", 404, "route_not_found"],
  ["get", "/LIST", 404, "route_not_found"],
  ["get", "/list/", 404, "route_not_found"],
  ["post", "/nowhere", 404, "route_not_found"],
  ["delete", "/echo", 405, "method_not_allowed"],
  ["options", "/list", 405, "method_not_allowed"],
] as const)("%s %s -> %i %s", async (method, path, status, code) => {
  const { body, headers } = await call(method, path).send(method === "get" ? undefined : "a=1");
  expect(body).toMatchObject({ status, code, instance: path.split("?")[0] });
  if (status === 405) expect(headers["allow"]).toBe(path === "/echo" ? "POST" : "GET, HEAD");
  problemSchema.strict().parse(body);
});

test("a long parameter is accepted", async () => {
  await call("get", `/private/${"x".repeat(512)}`).expect(200);
});

test("the limit of a body is exact", async () => {
  const bytes = (size: number) => JSON.stringify("x".repeat(size - 2));
  const send = (body: string) => call("post", "/echo").set("Content-Type", "application/json").send(body);
  await send(bytes(256 * 1024)).expect(200);
  const answer = await send(bytes(256 * 1024 + 1));
  expect(answer.body).toMatchObject({ status: 413, code: "body_too_large" });
  expect(answer.body.detail).toContain("262144");
});

test.each([
  ["/throws", "internal-detail"],
  ["/broken", "FST_ERR_RESPONSE_SERIALIZATION"],
])("%s answers a bare 500 and logs the cause with its stack", async (path, cause) => {
  const { body, text } = await call("get", path);
  expect(body).toMatchObject({ status: 500, code: "internal" });
  expect(text).not.toMatch(/internal-detail|FST_|expected|stack|node_modules/);
  const entry = JSON.parse(log[0] ?? "{}");
  expect(entry.reqId).toMatch(/^[0-9a-f-]{36}$/);
  expect(body.detail).toContain(entry.reqId);
  expect(entry.err.stack).toEqual(expect.any(String));
  expect(JSON.stringify(entry.err)).toContain(cause);
});

describe("what the HTTP parser refuses", () => {
  const head = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
  test.each([
    ["no HTTP", "hello\r\n\r\n", "400 Bad Request", "bad_request"],
    [
      "a length and chunks",
      `${head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      "400",
      "bad_request",
    ],
    ["huge headers", `${head}X: ${"x".repeat(20_000)}\r\n\r\n`, "431", "headers_too_large"],
  ])("%s", async (_, bytes, status, code) => {
    const answer = await sendRaw(port, bytes);
    const [headers = "", body = ""] = answer.split("\r\n\r\n");
    expect(headers).toContain(`HTTP/1.1 ${status}`);
    expect(headers).toContain("content-type: application/problem+json");
    expect(problemSchema.strict().parse(JSON.parse(body)).code).toBe(code);
  });

  test("a request that arrives too slowly", async () => {
    expect(app.server).toMatchObject({ requestTimeout: 10_000, headersTimeout: 5_000 });
    const connected = once(app.server, "connection");
    const answer = sendRaw(port, head);
    const [socket] = await connected;
    app.server.emit("clientError", Object.assign(new Error(), { code: "ERR_HTTP_REQUEST_TIMEOUT" }), socket);
    expect(await answer).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n.*"code":"request_timeout"/s);
  });

  test("old and odd forms of a request", async () => {
    const host = `Host: localhost:${port}`;
    expect(await sendRaw(port, `GET /healthz HTTP/1.0\r\n${host}\r\n\r\n`)).toContain("200 OK");
    for (const line of [
      "TRACE /healthz",
      "PROPFIND /healthz",
      "OPTIONS *",
      "GET http://evil.example/healthz",
    ]) {
      const answer = await sendRaw(port, `${line} HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`);
      expect(answer).not.toMatch(/^HTTP\/1.1 5/);
    }
  });
});

test("a truncated body is not logged as an internal error", async () => {
  const aborted = Promise.withResolvers<void>();
  const lines: string[] = [];
  const { app: cut, port: cutPort } = await listen({
    logger: pino({ level: "error" }, { write: (line: string) => lines.push(line) }),
    routes: async (scope) => {
      scope.addHook("onRequestAbort", async (_) => aborted.resolve());
      scope.post("/echo", async () => "never");
    },
  });
  const arrived = once(cut.server, "request");
  const socket = connect(cutPort, "127.0.0.1");
  const head = `POST /echo HTTP/1.1\r\nHost: localhost:${cutPort}\r\nAuthorization: ${BEARER}\r\n`;
  socket.write(`${head}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{`);
  await arrived;
  socket.destroy();
  await aborted.promise;
  expect(lines).toEqual([]);
  await cut.close();
});

test("a service that is closing answers 503", async () => {
  const { app: closing } = await listen({
    routes: async (scope) => {
      scope.addHook("preClose", async () => {
        const answer = await request(closing.server).get("/nowhere").set("Authorization", BEARER);
        expect(answer.body).toMatchObject({ status: 503, code: "unavailable" });
        expect(answer.headers["retry-after"]).toBe("5");
      });
    },
  });
  expect.assertions(2);
  await closing.close();
});

test("the OpenAPI document names its schemas, problems and security", async () => {
  const { body } = await call("get", "/openapi.json");
  expect(body).toMatchObject({ openapi: "3.1.0", info: { title: "Carillon" }, security: [{ bearer: [] }] });
  expect(Object.keys(body.components.schemas).sort()).toEqual(["Problem", "TinyJobInput"]);
  const { put } = body.paths["/schedule"];
  expect(put.responses["422"].content["application/problem+json"].schema.$ref).toBe(
    "#/components/schemas/Problem",
  );
  expect(body.paths["/healthz"].get.security).toEqual([]);
  expect(Object.keys(body.paths)).not.toContain("/docs");
});
