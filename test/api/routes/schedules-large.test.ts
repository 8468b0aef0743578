/** Saving schedules of as many jobs as there may be, and saying what is wrong in them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caller } from "../../support/authorized-calls.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = caller(() => service);

describe("the number of jobs", () => {
  const chained = (count: number, command: string) => {
    const next = (n: number) => n > 0 && { on_success: { trigger_job: [`job ${n - 1}`] } };
    const jobs = Array.from({ length: count }, (_, n) => [`job ${n}`, { command, ...next(n) }]);
    return { jobs: Object.fromEntries(jobs) };
  };

  it("may be 2,000, to create, change, keep and delete", async () => {
    const names = Object.keys(chained(2_000, "x").jobs).sort();
    const put = async (command: string) =>
      (await call("put", "/schedules/factory", chained(2_000, command)).expect(200)).body;
    expect((await put("x")).created.toSorted()).toEqual(names);
    const changed = await put("y");
    expect(changed.updated.toSorted()).toEqual(names);
    expect(changed.diff["job 7"]).toEqual([{ path: "command", before: "x", after: "y" }]);
    expect((await put("y")).unchanged.toSorted()).toEqual(names);
    expect((await call("get", "/jobs/job%207").expect(200)).body).toMatchObject({
      command: "y",
      revision: 2,
      on_success: { trigger_job: ["job 6"] },
    });
    await call("delete", "/schedules/factory").expect(204);
    await call("get", "/jobs/job%207").expect(404);
  }, 60_000);

  it("may not be more", async () => {
    const { body } = await call("put", "/schedules/factory", chained(2_001, "x")).expect(422);
    expect(body.errors).toEqual([{ path: "jobs", message: expect.stringContaining("at most 2000 jobs") }]);
  });

  it("does not hide which action names an unknown job", async () => {
    const trigger_job = ["job 1", "nobody"];
    const jobs = { ...chained(3, "x").jobs, last: { command: "x", on_error: { trigger_job } } };
    const on_success = { trigger_job: ["nobody else"] };
    const { body } = await call("put", "/schedules/factory", { on_success, jobs }).expect(422);
    expect(body.errors).toEqual([
      { path: "on_success.trigger_job.0", message: "there is no job nobody else" },
      { path: "jobs.last.on_error.trigger_job.1", message: "there is no job nobody" },
    ]);
  });
});
