/** Tests of the calls on schedules: save, list, patch, delete, and save again what was read. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expiries } from "../../../src/runs/retain.ts";
import { caller } from "../../support/authorized-calls.ts";
import { DAY_MS, saveRun } from "../../support/old-runs.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = caller(() => service);
const KITCHEN = {
  tz_location: "Europe/Brussels",
  log_retention_period: "30 days",
  on_error: { notify_webhook: ["https://example.org/all"] },
  jobs: {
    coffee: { command: "brew", cron: "@daily" },
    sweep: { command: "sweep", log_retention_period: "12h" },
  },
};

describe("a schedule that was read", () => {
  it("has every saved field, and can be saved again as it is", async () => {
    await call("put", "/schedules/kitchen", KITCHEN).expect(200);
    const { body } = await call("get", "/schedules/kitchen").expect(200);
    expect(body).toMatchObject({
      ...KITCHEN,
      name: "kitchen",
      jobs: { sweep: { log_retention_period: "12 hours" } },
    });
    expect(body.jobs.coffee).toMatchObject({
      timezone: "Europe/Brussels",
      inherited_timezone: "Europe/Brussels",
    });
    const saved = await call("put", "/schedules/kitchen", body).expect(200);
    expect(saved.body).toMatchObject({
      unchanged: ["coffee", "sweep"],
      updated: [],
      diff: {},
      schedule_diff: [],
    });
    await call("put", "/schedules/other", body).expect(422);
  });
});

describe("GET /schedules", () => {
  it("lists by name, page by page, with the number of jobs", async () => {
    await call("put", "/schedules/attic", { jobs: { dust: { command: "x" } } }).expect(200);
    const first = await call("get", "/schedules?limit=1").expect(200);
    expect(first.body.items).toMatchObject([{ name: "attic", jobs: 1 }]);
    expect(first.headers["link"]).toContain('rel="next"');
    const rest = await call("get", `/schedules?cursor=${first.body.next_cursor}`).expect(200);
    expect(rest.body).toMatchObject({
      items: [{ name: "kitchen", jobs: 2, tz_location: "Europe/Brussels", log_retention_period: "30 days" }],
      next_cursor: null,
    });
    await call("get", "/schedules?cursor=none").expect(400);
  });
});

describe("?dry_run=true", () => {
  it("reports what a PUT would do without doing it", async () => {
    const { log_retention_period: _, ...settings } = KITCHEN;
    const jobs = { coffee: { command: "brew", cron: "@hourly" }, tea: { command: "pour" } };
    const { body } = await call("put", "/schedules/kitchen?dry_run=true", { ...settings, jobs }).expect(200);
    expect(body).toEqual({
      name: "kitchen",
      created: ["tea"],
      updated: ["coffee"],
      deleted: ["sweep"],
      unchanged: [],
      dry_run: true,
      diff: { coffee: [{ path: "cron", before: "@daily", after: "@hourly" }] },
      schedule_diff: [{ path: "log_retention_period", before: "30 days", after: null }],
      warnings: [],
    });
    const read = await call("get", "/schedules/kitchen").expect(200);
    expect(read.body).toMatchObject(JSON.parse(JSON.stringify(KITCHEN).replace("12h", "12 hours")));
    expect(Object.keys(read.body.jobs)).toEqual(["coffee", "sweep"]);
    await call("put", "/schedules/nowhere?dry_run=true", { jobs: {} }).expect(200);
    await call("get", "/schedules/nowhere").expect(404);
  });
});

describe("PATCH /schedules/{name}", () => {
  it("changes the named fields of the schedule, and patches the named jobs", async () => {
    const patch = {
      tz_location: null,
      jobs: { coffee: { retries: 2, cron: null }, sweep: null, tea: { command: "pour" } },
    };
    const { body } = await call("patch", "/schedules/kitchen", patch).expect(200);
    expect(body).toMatchObject({ created: ["tea"], updated: ["coffee"], deleted: ["sweep"] });
    expect(body.diff.coffee).toEqual([
      { path: "cron", before: "@daily", after: null },
      { path: "retry.limit", before: 0, after: 2 },
    ]);
    const read = await call("get", "/schedules/kitchen").expect(200);
    expect(read.body).not.toHaveProperty("tz_location");
    expect(read.body).toMatchObject({ on_error: KITCHEN.on_error, jobs: { coffee: { retries: 2 } } });
    const same = await call("patch", "/schedules/kitchen?dry_run=true", {}).expect(200);
    expect(same.body).toMatchObject({ unchanged: ["coffee", "tea"], diff: {}, schedule_diff: [] });
  });

  it("refuses what a PUT would refuse", async () => {
    const { body } = await call("patch", "/schedules/kitchen", {
      jobs: { coffee: { crn: "@daily" } },
    }).expect(422);
    expect(body.errors).toEqual([
      { path: "jobs.coffee.crn", message: 'unknown field; did you mean "cron"?' },
    ]);
    for (const jobs of [null, [], { coffee: 1 }])
      await call("patch", "/schedules/kitchen", { jobs }).expect(422);
    await call("patch", "/schedules/nowhere", {}).expect(404);
  });
});

describe("DELETE /schedules/{name}", () => {
  it("is refused while another schedule triggers one of its jobs", async () => {
    await call("patch", "/jobs/dust", { on_success: { trigger_job: ["tea"] } }).expect(200);
    const { body } = await call("delete", "/schedules/kitchen").expect(409);
    expect(body).toMatchObject({ code: "job_in_use", detail: expect.stringContaining("tea") });
    await call("get", "/jobs/coffee").expect(200);
    await call("patch", "/jobs/dust", { on_success: null }).expect(200);
  });

  it("deletes the jobs, even when they trigger each other, and cancels waiting runs", async () => {
    const { body: run } = await call("post", "/jobs/tea/trigger").expect(202);
    const inside = {
      on_error: { trigger_job: ["tea"] },
      jobs: { coffee: { on_success: { trigger_job: ["tea"] } } },
    };
    await call("patch", "/schedules/kitchen", inside).expect(200);
    await call("delete", "/schedules/kitchen").expect(204);
    for (const path of ["/schedules/kitchen", "/jobs/coffee", "/jobs/tea"])
      await call("get", path).expect(404);
    await call("delete", "/schedules/kitchen").expect(404);
    expect((await call("get", `/runs/${run.id}`)).body).toMatchObject({
      state: "cancelled",
      schedule: "kitchen",
    });
    expect((await call("get", "/schedules")).body.items).toMatchObject([{ name: "attic" }]);
  });

  it("lets a new schedule have the same name, without anything of the old one", async () => {
    await call("put", "/schedules/kitchen", { jobs: { coffee: { command: "brew" } } }).expect(200);
    const { body } = await call("get", "/schedules/kitchen").expect(200);
    expect(Object.keys(body)).toEqual(["name", "jobs", "created_at", "updated_at"]);
    expect(body.jobs.coffee.revision).toBe(1);
  });

  it("deletes the jobs of `default` but keeps the schedule", async () => {
    await call("post", "/jobs", { name: "stray", command: "x" }).expect(201);
    await call("delete", "/schedules/default").expect(204);
    await call("get", "/jobs/stray").expect(404);
    expect((await call("get", "/schedules/default").expect(200)).body.jobs).toEqual({});
  });
});

describe("an empty schedule", () => {
  it("exists from its PUT to its DELETE", async () => {
    await call("put", "/schedules/bare", { jobs: {} }).expect(200);
    expect((await call("get", "/schedules/bare").expect(200)).body).toMatchObject({ name: "bare", jobs: {} });
    const names = async () =>
      (await call("get", "/schedules")).body.items.map((one: { name: string }) => one.name);
    expect(await names()).toContain("bare");
    await call("delete", "/schedules/bare").expect(204);
    await call("get", "/schedules/bare").expect(404);
    await call("patch", "/schedules/bare", {}).expect(404);
    expect(await names()).not.toContain("bare");
  });

  it("stays when its last job is deleted", async () => {
    await call("post", "/jobs", { name: "lone", command: "x", schedule: "hall" }).expect(201);
    await call("delete", "/jobs/lone").expect(204);
    await call("get", "/schedules/hall").expect(200);
  });
});

describe("a deleted schedule", () => {
  const CELLAR = {
    tz_location: "Europe/Brussels",
    log_retention_period: "2 days",
    on_error: { notify_webhook: ["https://example.org/all"] },
    jobs: { rack: { command: "x" } },
  };

  it("keeps its retention for the runs of its jobs", async () => {
    await call("put", "/schedules/cellar", CELLAR).expect(200);
    const job = await service.prisma.job.findFirstOrThrow({ where: { name: "rack" } });
    await saveRun(
      service.prisma,
      { id: job.id, revisionId: job.currentRevisionId ?? "" },
      { endedDaysAgo: 4 },
    );
    await call("delete", "/schedules/cellar").expect(204);
    const now = new Date();
    expect(await expiries(service.prisma, now)).toContainEqual({
      jobId: job.id,
      endedBefore: new Date(now.getTime() - 2 * DAY_MS),
    });
  });

  it("is new when a job names it again", async () => {
    await call("post", "/jobs", { name: "shelf", command: "x", schedule: "cellar" }).expect(201);
    const { body } = await call("get", "/schedules/cellar").expect(200);
    expect(Object.keys(body)).toEqual(["name", "jobs", "created_at", "updated_at"]);
    expect(Object.keys(body.jobs)).toEqual(["shelf"]);
  });
});

describe("PUT /schedules/{name}", () => {
  it("makes the database equal to the document, and says what that changed", async () => {
    const put = (jobs: object) => call("put", "/schedules/shop", { tz_location: "Asia/Kolkata", jobs });
    const first = await put({ one: { command: "1", cron: "0 0 * * *" }, two: { command: "2" } }).expect(200);
    expect(first.body).toEqual({
      name: "shop",
      created: ["one", "two"],
      updated: [],
      deleted: [],
      unchanged: [],
      dry_run: false,
      diff: {},
      schedule_diff: [{ path: "tz_location", before: null, after: "Asia/Kolkata" }],
      warnings: [],
    });
    const second = await put({ one: { command: "1", cron: "0 0 * * *" }, three: { command: "3" } }).expect(
      200,
    );
    expect(second.body).toMatchObject({ created: ["three"], deleted: ["two"], unchanged: ["one"] });
    const read = await call("get", "/schedules/shop").expect(200);
    expect(Object.keys(read.body.jobs)).toEqual(["one", "three"]);
    expect(read.body.jobs.one).toMatchObject({
      timezone: "Asia/Kolkata",
      next_runs: [expect.stringMatching(/T18:30:00/), "", ""].map((x) => x || expect.any(String)),
    });
    await call("get", "/schedules/none").expect(404);
  });

  it("refuses a name that another schedule has", async () => {
    await call("put", "/schedules/left", { jobs: { shared: { command: "true" } } }).expect(200);
    const clash = await call("put", "/schedules/right", { jobs: { shared: { command: "true" } } }).expect(
      409,
    );
    expect(clash.body).toMatchObject({ code: "job_exists", errors: [{ path: "jobs.shared" }] });
    await call("get", "/schedules/right").expect(404);
  });
});
