/** Tests of bare numbers and booleans in documents: kept as written in `env`, refused where text is required. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caller } from "../support/authorized-calls.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = caller(() => service);
const YAML = "application/yaml";
const JSON_TYPE = "application/json";
const send = (method: "put" | "patch" | "post", path: string, type: string, body: string) =>
  call(method, path).set("content-type", type).send(body);

const JSON_LITERALS = [
  "1.10",
  "12345678901234567890",
  "1e3",
  "9007199254740993",
  "5.0",
  "-0",
  "-0.0",
  "5",
  "true",
];
const YAML_LITERALS = `${JSON_LITERALS.join(" ")} 010 0x1F +5 0o17 .5 5. True FALSE yes 1_000 2001-01-01 12:30:45 3.14`;

describe("a bare number or boolean in env", () => {
  it("of a job reaches the command as it was written", async () => {
    const name = (index: number) => `X${index}`;
    const literals = YAML_LITERALS.split(" ");
    const yaml = literals.map((literal, index) => `  ${name(index)}: ${literal}\n`).join("");
    await send("put", "/jobs/yaml", YAML, `command: env\nenv:\n${yaml}`).expect(201);
    const expected = Object.fromEntries(literals.map((literal, index) => [name(index), literal]));
    expect((await call("get", "/jobs/yaml")).body.env).toEqual(expected);
    const { log } = (await call("post", "/jobs/yaml/trigger?wait=30s").expect(200)).body;
    expect(log.split("\n")).toEqual(
      expect.arrayContaining(literals.map((text, index) => `X${index}=${text}`)),
    );
  });

  it.each(JSON_LITERALS)("in JSON, of a job, a patch and a trigger, stays %s", async (literal) => {
    const text = `{"command":"env","env":{"X":${literal}},"retry":{"limit":1,"jitter":0.10}}`;
    await send("put", "/jobs/json", JSON_TYPE, text);
    expect((await call("get", "/jobs/json")).body.env).toEqual({ X: literal });
    await send("patch", "/jobs/json", JSON_TYPE, `{"env":{"Y":${literal}}}`).expect(200);
    expect((await call("get", "/jobs/json")).body.env).toEqual({ X: literal, Y: literal });
    const run = await send("post", "/jobs/json/trigger", JSON_TYPE, `{"env":{"Z":${literal}}}`).expect(202);
    expect(run.body.env).toEqual({ Z: literal });
  });

  it("of a schedule is kept too, through anchors and merges", async () => {
    const document = `
jobs:
  base: {command: env, env: &base {A: 1.10, B: 2.0, C: 3.0}}
  derived: {command: env, env: {<<: [{A: 1.1}, *base], B: 2}}
  linked: {command: env, env: *base}
  changed: {command: env, env: {A: &a 1.10, B: *a}}
`;
    await send("put", "/schedules/literals", YAML, document).expect(200);
    const { jobs } = (await call("get", "/schedules/literals")).body;
    const base = { A: "1.10", B: "2.0", C: "3.0" };
    expect(jobs.base.env).toEqual(base);
    expect(jobs.derived.env).toEqual({ A: "1.1", B: "2", C: "3.0" });
    expect(jobs.linked.env).toEqual(base);
    expect(jobs.changed.env).toEqual({ A: "1.10", B: "1.10" });
    await send("patch", "/schedules/literals", YAML, "jobs: {base: {env: {A: 0x10}}}").expect(200);
    const patched = (await call("get", "/schedules/literals")).body.jobs;
    expect(patched.base.env).toEqual({ ...base, A: "0x10" });
  });
});

it.each([
  ["labels: {v: 1.10}", "labels.v"],
  ["params: [1.10]", "params.0"],
  ["description: 1.10", "description"],
  ["description: True", "description"],
  ["user: 010", "user"],
  [
    "on_error: {notify_webhook: [{url: 'https://example.org', headers: {a: 1.10}}]}",
    "on_error.notify_webhook.0.headers.a",
  ],
])("%s is refused with the advice to quote it", async (field, path) => {
  const { body } = await send("put", "/jobs/texts", YAML, `command: env\n${field}\n`).expect(422);
  expect(body.errors).toEqual([{ path, message: "must be a string: put it in quotes" }]);
});

it("a number in a command list is refused with that advice, and a duration without a unit is not", async () => {
  const list = await send("put", "/jobs/texts", YAML, "command: [echo, 1.10]").expect(422);
  expect(list.body.errors).toEqual([{ path: "command.1", message: "must be a string: put it in quotes" }]);
  const bare = await send("put", "/jobs/texts", YAML, "command: 1.10").expect(422);
  expect(bare.body.errors).toEqual([
    { path: "command", message: "must be a string or a list: put it in quotes" },
  ]);
  const duration = await send("put", "/jobs/texts", YAML, "command: env\ntimeout: 30").expect(422);
  expect(duration.body.errors).toEqual([
    { path: "timeout", message: "must be a duration such as 500ms, 5s, 10m or 1h30m, at most 23h" },
  ]);
});
