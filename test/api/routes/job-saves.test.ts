/** Tests of the calls that save and delete a job, and of the errors for an invalid document. */
import supertest from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = (method: "get" | "post" | "put" | "delete", path: string) =>
  supertest(service.url)[method](`/api/v1${path}`).set("authorization", `Bearer ${service.token}`);

describe("a job", () => {
  it("is created, read, replaced and deleted", async () => {
    const document = {
      name: "coffee",
      command: ["brew", "--strong"],
      cron: ["0 7 * * *", "@weekly"],
      timezone: "Europe/Brussels",
      env: { CUP: "large", SUGAR: 2 },
      working_directory: "kitchen",
      retry: {
        limit: 3,
        delay: "1m",
        backoff: "exponential",
        max_delay: "1h",
        jitter: 0.2,
        exit_codes: [1, 75],
      },
      timeout: "1h30m",
      description: "For the morning",
      labels: { team: "coffee" },
      on_error: { notify_slack_webhook: ["https://example.org/slack"] },
    };
    const created = await call("post", "/jobs").send(document).expect(201);
    expect(created.headers["location"]).toBe("/api/v1/jobs/coffee");
    expect(created.body).toMatchObject({
      ...document,
      env: { CUP: "large", SUGAR: "2" },
      schedule: "default",
      retries: 3,
      enabled: true,
      revision: 1,
      next_runs: [expect.any(String), expect.any(String), expect.any(String)],
    });
    const { warnings, ...saved } = created.body;
    expect(warnings).toEqual([]);
    expect((await call("get", "/jobs/coffee").expect(200)).body).toEqual(saved);
    await call("post", "/jobs").send(document).expect(409);

    const replaced = await call("put", "/jobs/coffee").send({ command: "brew" }).expect(200);
    expect(replaced.body).toMatchObject({ command: "brew", revision: 2, retries: 0, next_runs: [] });
    const same = await call("put", "/jobs/coffee").send({ command: "brew" }).expect(200);
    expect(same.body).toMatchObject({ revision: 2 });

    await call("delete", "/jobs/coffee").expect(204);
    await call("get", "/jobs/coffee").expect(404);
    await call("delete", "/jobs/coffee").expect(404);
    const again = await call("put", "/jobs/coffee").send({ command: "brew" }).expect(201);
    expect(again.body).toMatchObject({ revision: 1 });
  });

  it("cannot be deleted while another one triggers it, and cancels its queued runs when it is", async () => {
    await call("put", "/jobs/sweep").send({ command: "true" }).expect(201);
    await call("put", "/jobs/bake")
      .send({ command: "true", on_success: { trigger_job: ["sweep"] } })
      .expect(201);
    const refused = await call("delete", "/jobs/sweep").expect(409);
    expect(refused.body).toMatchObject({ code: "job_in_use", detail: expect.stringContaining("job bake") });

    const queued = await call("post", "/jobs/bake/trigger").expect(202);
    await call("delete", "/jobs/bake").expect(204);
    const run = await call("get", `/runs/${queued.body.id}`).expect(200);
    expect(run.body).toMatchObject({ state: "cancelled", status: null, reason: "the job was deleted" });
    await call("delete", "/jobs/sweep").expect(204);
  });

  it("stays in its schedule when a PUT names none, and moves when it names another", async () => {
    await call("put", "/schedules/bar")
      .send({ jobs: { espresso: { command: "true" } } })
      .expect(200);
    const kept = await call("put", "/jobs/espresso").send({ command: "false" }).expect(200);
    expect(kept.body.schedule).toBe("bar");
    const moved = await call("put", "/jobs/espresso")
      .send({ command: "false", schedule: "default" })
      .expect(200);
    expect(moved.body).toMatchObject({ schedule: "default", revision: 3 });
  });

  it("is listed by name, page by page", async () => {
    for (const name of ["page-a", "page-b", "page-c"])
      await call("put", `/jobs/${name}`).send({ command: "true" });
    const names: string[] = [];
    for (let path: string | undefined = "/jobs?limit=2"; path !== undefined; ) {
      const { body, headers }: supertest.Response = await call("get", path).expect(200);
      names.push(...body.items.map((job: { name: string }) => job.name));
      path = /<\/api\/v1(.*)>; rel="next"/.exec(headers["link"] ?? "")?.[1];
      expect(body.next_cursor === null).toBe(path === undefined);
    }
    expect(names).toEqual(names.toSorted());
    expect(names).toEqual(expect.arrayContaining(["page-a", "page-b", "page-c"]));
  });
});

describe("a bad document names the path and saves nothing", () => {
  it.each<[what: string, document: unknown, path: string, message: RegExp]>([
    ["unknown field", { command: "x", comand: "y" }, "comand", /did you mean "command"/],
    ["no command", {}, "command", /./],
    ["empty command", { command: "" }, "command", /./],
    ["impossible cron", { command: "x", cron: "0 0 31 2 *" }, "cron", /./],
    ["cron with a bad field", { command: "x", cron: ["* * * * *", "99 * * * *"] }, "cron.1", /minute/i],
    ["unknown zone", { command: "x", timezone: "Mars/Base" }, "timezone", /IANA/],
    ["bad duration", { command: "x", timeout: "5 potatoes" }, "timeout", /duration/],
    ["timeout over 23 h", { command: "x", timeout: "24h" }, "timeout", /23h/],
    ["negative retries", { command: "x", retries: -1 }, "retries", /./],
    ["retries twice", { command: "x", retries: 1, retry: { limit: 2 } }, "retries", /differ/],
    ["variable name", { command: "x", env: { "A=B": "1" } }, "env.A=B", /name/],
    [
      "unknown job",
      { command: "x", on_error: { trigger_job: ["nobody"] } },
      "on_error.trigger_job.0",
      /no job nobody/,
    ],
    ["no URL", { command: "x", on_error: { notify_webhook: ["hook"] } }, "on_error.notify_webhook.0", /URL/],
    [
      "file URL",
      { command: "x", on_error: { notify_webhook: ["file:///etc/passwd"] } },
      "on_error.notify_webhook.0",
      /http/,
    ],
    [
      "URL with a password",
      { command: "x", on_error: { notify_webhook: ["http://a:b@c/"] } },
      "on_error.notify_webhook.0",
      /./,
    ],
    ["unknown action", { command: "x", on_error: { notify_pager: [] } }, "on_error.notify_pager", /unknown/],
  ])("%s", async (_what, document, path, message) => {
    const { body } = await call("put", "/jobs/bad")
      .send(document as object)
      .expect(422);
    expect(body).toMatchObject({
      code: "invalid_document",
      errors: [{ path, message: expect.stringMatching(message) }],
    });
    await call("get", "/jobs/bad").expect(404);
  });

  it.each<[what: string, yaml: string, message: RegExp]>([
    ["a key twice", "jobs:\n  a: { command: x }\n  a: { command: y }", /Line 3.*a/s],
    [
      "an alias bomb",
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]`,
      /./,
    ],
    ["a NUL", 'jobs: { a: { command: "x\\0y" } }', /jobs\.a\.command/],
    ["no YAML at all", "jobs: [", /./],
  ])("YAML with %s", async (_what, yaml, message) => {
    const { body } = await call("put", "/schedules/bad")
      .set("content-type", "application/yaml")
      .send(yaml)
      .expect(400);
    expect(body).toMatchObject({ code: "malformed_body" });
    expect(JSON.stringify(body)).toMatch(message);
    await call("get", "/schedules/bad").expect(404);
  });

  it("names that cannot stand in a path", async () => {
    for (const name of ["..", "a/b", " a", "a\u0007"]) {
      const { body } = await call("post", "/jobs").send({ name, command: "x" });
      expect(body.errors?.[0]?.path ?? body.code).toMatch(/^name$|malformed_body/);
    }
    await call("get", "/jobs/%2e%2e").expect((response) => expect(response.status).toBeLessThan(500));
  });
});
