/** Tests of the call that validates a document without saving it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caller } from "../../support/authorized-calls.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = caller(() => service);

describe("POST /jobs/validate", () => {
  const validate = (document: object, query = "") =>
    call("post", `/jobs/validate${query}`, document).expect(200);

  it("shows when a valid job would run, and saves nothing", async () => {
    const { body } = await validate({
      name: "noon",
      command: "x",
      cron: "0 12 * * *",
      timezone: "Asia/Tokyo",
    });
    expect(body).toMatchObject({
      valid: true,
      errors: [],
      warnings: [],
      jobs: { noon: { timezone: "Asia/Tokyo" } },
    });
    expect(body.jobs.noon.next_runs[0]).toMatch(/T03:00:00.000Z$/);
    await call("get", "/jobs/noon").expect(404);
  });

  it("warns of a jitter that is not shorter than the time between two slots", async () => {
    const job = { command: "x", cron: ["*/10 * * * *", "5 12 * * *"] };
    const warning = (path: string) => ({ path, message: expect.stringContaining("two slots, 5m:") });
    const long = await validate({ name: "a", ...job, jitter: "5m" });
    expect(long.body).toMatchObject({ valid: true, warnings: [warning("jitter")] });
    const inSchedule = await validate({ tz_location: "UTC", jobs: { a: { ...job, jitter: "1h" } } });
    expect(inSchedule.body.warnings).toEqual([warning("jobs.a.jitter")]);
    expect((await validate({ name: "a", ...job, jitter: "4m59s" })).body.warnings).toEqual([]);
    expect((await validate({ name: "a", command: "x", jitter: "1h" })).body.warnings).toEqual([]);
  });

  it("lists every error, in the fields and between jobs", async () => {
    const wrong = await validate({ name: "a", command: "", crom: "@daily" });
    expect(wrong.body).toMatchObject({ valid: false, jobs: {} });
    expect(wrong.body.errors.map((error: { path: string }) => error.path)).toEqual(["crom", "command"]);
    const dangling = await validate({ jobs: { a: { command: "x", on_error: { trigger_job: ["b"] } } } });
    expect(dangling.body.errors).toEqual([
      { path: "jobs.a.on_error.trigger_job.0", message: "there is no job b" },
    ]);
  });

  it("validates a schedule against the schedule that it would replace", async () => {
    await call("put", "/schedules/known", { jobs: { own: { command: "x" } } }).expect(200);
    const document = { jobs: { own: { command: "y" } } };
    expect((await validate(document, "?schedule=known")).body.valid).toBe(true);
    const elsewhere = await validate(document, "?schedule=other");
    expect(elsewhere.body).toMatchObject({ valid: false, errors: [{ path: "jobs.own" }] });
  });
});
