/** What a token with the scope trigger, or read, gets: its jobs, their params, their runs, and no secret value. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, createClient, type Run } from "../../support/api-client.ts";
import { answer, type Sink, startSink } from "../../support/http-sink.ts";
import { makeToken } from "../../support/make-token.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

interface Problem {
  code: string;
  detail: string;
  errors?: { path: string }[];
}

let service: TestService;
let sink: Sink;
let button: Client;
let anyButton: Client;
let reader: Client;
beforeAll(async () => {
  sink = await startSink(answer(500, "an answer"));
  service = await startTestService();
  const on_success = {
    trigger_job: ["cleanup"],
    notify_webhook: [{ url: "http://127.0.0.1:9/canary-path", headers: { Authorization: "canary-header" } }],
  };
  await service.client.call("PUT", "/schedules/kitchen", {
    on_error: {
      notify_webhook: [{ url: "http://127.0.0.1:9/canary-path", headers: { "X-Key": "canary-header" } }],
    },
    jobs: {
      coffee: {
        command: "echo $CUP",
        env: { CUP: "canary-env", KEY: "canary-env" },
        params: ["CUP"],
        on_success,
      },
      cleanup: { command: "true" },
      tea: { command: "true", params: ["CUP"] },
    },
  });
  const client = async (name: string, asked: object) =>
    createClient(service.url, await makeToken(service, name, asked));
  button = await client("button", { scopes: ["trigger"], jobs: ["coffee", "cleanup"] });
  anyButton = await client("any button", { scopes: ["trigger"] });
  reader = await client("reader", { scopes: ["read"] });
}, 30_000);
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
});

describe("a trigger", () => {
  it("runs the job with the variables that its params allow, and waits for the result", async () => {
    const run = await button.trigger("coffee", { triggered_by: "Button", env: { CUP: "small" } }, "30s");
    expect(run).toMatchObject({ state: "succeeded", triggered_by: "Button", log: "small\n" });
    expect(await button.run(run.id)).toMatchObject({ id: run.id, log: "small\n" });
    expect((await button.call("GET", `/runs/${run.id}/log`)).body).toBe("small\n");
  });

  it.each([{ KEY: "x" }, { PATH: "/tmp" }, { LD_PRELOAD: "x" }, { CUP: "small", cup: "x" }])(
    "sets no other variable: %j",
    async (env) => {
      const before = await service.client.runs("job=coffee");
      const { status, body } = await button.call<Problem>("POST", "/jobs/coffee/trigger", { env });
      expect([status, body.code]).toEqual([403, "forbidden"]);
      const refused = Object.keys(env).filter((name) => name !== "CUP");
      expect(body.errors?.map(({ path }) => path)).toEqual(refused.map((name) => `env.${name}`));
      expect(await service.client.runs("job=coffee")).toHaveLength(before.length);
    },
  );

  it("sets any variable for an admin", async () => {
    const run = await service.client.trigger("coffee", { env: { KEY: "x" } });
    expect(run.env).toEqual({ KEY: "x" });
  });

  it.each(["command", "working_directory", "user", "pool", "url", "timeout", "on_success"])(
    "never sets %s",
    async (field) => {
      const { status, body } = await button.call<Problem>("POST", "/jobs/coffee/trigger", { [field]: "x" });
      expect([status, body.errors?.[0]?.path]).toEqual([422, field]);
    },
  );

  it("is allowed only for the jobs of the token, and answers alike for other jobs and unknown ones", async () => {
    for (const job of ["tea", "ghost"]) {
      const { status, body } = await button.call<Problem>("POST", `/jobs/${job}/trigger`);
      expect([status, body.code]).toEqual([403, "forbidden"]);
      expect(body.detail).toBe(`The scope trigger of the token button does not include the job ${job}.`);
    }
    expect((await anyButton.call("POST", "/jobs/tea/trigger")).status).toBe(202);
    expect((await anyButton.call("POST", "/jobs/ghost/trigger")).status).toBe(404);
    const { status, body } = await reader.call<Problem>("POST", "/jobs/tea/trigger");
    expect([status, body.detail]).toEqual([403, "The token reader lacks the scope trigger."]);
  });
});

it("params are part of a job: they can be read and saved again, and none may be repeated", async () => {
  const { params } = await service.client.putJob("teapot", { command: "true", params: ["CUP", "SIZE"] });
  expect(params).toEqual(["CUP", "SIZE"]);
  const read = await service.client.call<object>("GET", "/jobs/teapot");
  expect(await service.client.putJob("teapot", read.body)).toMatchObject({ params, revision: 1 });
  for (const wrong of [["CUP", "CUP"], ["no name"], "CUP"]) {
    const { status, body } = await service.client.call<Problem>("PUT", "/jobs/teapot", {
      command: "true",
      params: wrong,
    });
    expect([status, body.errors?.[0]?.path.split(".")[0]]).toEqual([422, "params"]);
  }
});

describe("a run", () => {
  it("of another job is hidden from a token that may not trigger that job", async () => {
    const { id } = await service.client.trigger("tea", {}, "30s");
    for (const path of [
      `/runs/${id}`,
      `/runs/${id}?wait=1s`,
      `/runs/${id}/log`,
      `/runs/${id}/log?follow=true`,
    ]) {
      const { status, body } = await button.call<Problem>("GET", path);
      expect([path, status, body.code]).toEqual([path, 403, "forbidden"]);
      expect(body.detail).not.toContain("tea");
      expect((await anyButton.call("GET", path)).status).toBe(200);
      expect((await reader.call("GET", path)).status).toBe(200);
    }
  });

  it("hides its parent from a token that may not read the parent", async () => {
    const parent = await service.client.trigger("coffee", {}, "30s");
    const [child] = parent.triggered_runs;
    const id = String(child?.id);
    await service.client.run(id, "30s");
    expect((await reader.run(id)).triggered_by_job_run).toMatchObject({ id: parent.id, log: "canary-env\n" });
    const seen = await button.run(id);
    expect(seen.state).toBe("succeeded");
    expect(JSON.stringify(seen)).not.toContain("canary");
    expect(JSON.stringify(seen)).not.toContain(parent.id);
  });

  it("shows of other jobs and of receivers only what the token may see", async () => {
    await service.client.putJob("mocha", {
      command: "true",
      on_success: { trigger_job: ["cleanup", "tea"], notify_webhook: [sink.url()] },
    });
    const token = await makeToken(service, "mocha button", {
      scopes: ["trigger"],
      jobs: ["mocha", "cleanup"],
    });
    const mochaButton = createClient(service.url, token);
    const { id } = await service.client.trigger("mocha", {}, "30s");
    const tries = async (client: Client) => (await client.run(id)).deliveries[0]?.tries ?? [];
    await expect.poll(async () => (await tries(reader)).length, { timeout: 20_000 }).toBe(1);
    expect(await tries(reader)).toMatchObject([{ status: 500, response: "an answer" }]);
    expect(await tries(mochaButton)).toMatchObject([{ status: 500, response: null }]);

    const whole = await reader.run(id);
    expect(whole.triggered.toSorted()).toEqual(["cleanup", "tea"]);
    const seen = await mochaButton.run(id);
    expect([seen.triggered, seen.triggered_runs.map(({ name }) => name)]).toEqual([["cleanup"], ["cleanup"]]);
    expect(JSON.stringify(seen)).not.toContain("tea");

    const child = String(seen.triggered_runs[0]?.id);
    const by = async (client: Client) => (await client.run(child, "30s")).triggered_by;
    expect(await by(mochaButton)).toBe("job[mocha]");
    expect(await by(reader)).toBe("job[mocha]");
    expect(await by(button)).toBe("job");
    expect(JSON.stringify(await button.run(child))).not.toContain("mocha");
  });

  it("is not returned for an idempotency key of another token", async () => {
    const send = async (client: string, body?: object) => {
      const answer = await fetch(`${service.url}/api/v1/jobs/cleanup/trigger`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${client}`,
          "idempotency-key": "order-17",
          "content-type": "application/json",
        },
        ...(body && { body: JSON.stringify(body) }),
      });
      const { id } = (await answer.json()) as Run;
      return { id, status: answer.status, replayed: answer.headers.get("idempotency-replayed") };
    };
    const one = await makeToken(service, "one", { scopes: ["trigger"] });
    const two = await makeToken(service, "two", { scopes: ["trigger"] });
    const answers = [await send(one), await send(two, { events: false }), await send(service.token)];
    expect(answers.map(({ status, replayed }) => [status, replayed])).toEqual(answers.map(() => [202, null]));
    expect(new Set(answers.map(({ id }) => id)).size).toBe(3);
    expect(await send(one)).toEqual({ id: answers[0]?.id, status: 202, replayed: "true" });
  });
});

it("lists are for tokens with the scope read, without values of env and headers", async () => {
  const { id } = await service.client.trigger("coffee", { env: { EXTRA: "canary-env" } });
  const paths = ["/jobs", "/jobs/coffee", "/jobs/coffee/revisions", "/jobs/coffee/revisions/1"];
  for (const path of [...paths, "/schedules", "/schedules/kitchen", `/runs/${id}`]) {
    const seen = await reader.call("GET", path);
    expect([path, seen.status]).toEqual([path, 200]);
    const { log: _, ...rest } = seen.body as Partial<Run>;
    expect(JSON.stringify(rest)).not.toContain("canary");
    if (path !== "/schedules") {
      expect(JSON.stringify(rest)).toContain("[redacted]");
      expect(JSON.stringify((await service.client.call("GET", path)).body)).toContain("canary");
    }
    if (path !== `/runs/${id}`) expect((await anyButton.call("GET", path)).status).toBe(403);
  }
  const first = await reader.call<{ next_cursor: string }>("GET", "/jobs?limit=1");
  const cursor = encodeURIComponent(first.body.next_cursor);
  expect(JSON.stringify((await reader.call("GET", `/jobs?cursor=${cursor}`)).body)).not.toContain("canary");
  expect((await button.call("GET", `/jobs?cursor=${cursor}`)).status).toBe(403);
  expect((await button.call("GET", "/runs?job=coffee")).status).toBe(403);
});
