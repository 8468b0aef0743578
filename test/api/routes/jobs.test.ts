/** What a job is beside its document: paused or not, due next, and what it said before. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caller } from "../../support/authorized-calls.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api,worker" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = caller(() => service);

describe("a paused job", () => {
  it("shows who paused it, when and why, and has no next runs", async () => {
    const before = await call("put", "/jobs/brew", { command: "echo hi", cron: "@hourly" }).expect(201);
    expect(before.body).toMatchObject({ paused: null, next_runs: { length: 3 } });
    const { body } = await call("post", "/jobs/brew/pause", { by: "ann", reason: "descaling" }).expect(200);
    expect(body.paused).toEqual({ at: expect.stringMatching(/Z$/), by: "ann", reason: "descaling" });
    expect(body.next_runs).toEqual([]);
    expect((await call("get", "/jobs/brew/next").expect(200)).body.items).toEqual([]);
    expect((await call("get", "/jobs/brew")).body).toEqual(body);
  });

  it("shows each change to whoever has read it before", async () => {
    const show = async () => (await call("get", "/jobs/shown").expect(200)).body;
    await call("put", "/jobs/shown", { command: "echo hi", cron: "@hourly", enabled: false }).expect(201);
    const before = await show();
    await call("post", "/jobs/shown/pause", { by: "ann" }).expect(200);
    expect((await show()).paused).toMatchObject({ by: "ann" });
    await call("post", "/jobs/shown/resume").expect(200);
    expect(await show()).toEqual(before);
    await call("put", "/jobs/shown", { command: "echo ho" }).expect(200);
    expect(await show()).toMatchObject({ command: "echo ho", revision: 2 });
  });

  it("stays as it is when it is paused again, saved or patched", async () => {
    const { paused } = (await call("get", "/jobs/brew")).body;
    const again = await call("post", "/jobs/brew/pause", { by: "bob" }).expect(200);
    expect(again.body.paused).toEqual(paused);
    const saved = await call("put", "/jobs/brew", {
      command: "echo hey",
      cron: "@hourly",
      paused: null,
    }).expect(200);
    expect(saved.body).toMatchObject({ paused, revision: 2 });
    expect((await call("patch", "/jobs/brew", { env: { A: "1" } }).expect(200)).body.paused).toEqual(paused);
  });

  it("runs when it is triggered", async () => {
    const { body } = await call("post", "/jobs/brew/trigger?wait=30s").expect(200);
    expect(body).toMatchObject({ state: "succeeded", log: "hey\n" });
  });

  it("continues when it is resumed, even twice", async () => {
    for (const _ of [1, 2]) {
      const { body } = await call("post", "/jobs/brew/resume").expect(200);
      expect(body).toMatchObject({ paused: null, next_runs: { length: 3 } });
    }
    const bare = await call("post", "/jobs/brew/pause").expect(200);
    expect(bare.body.paused).toMatchObject({ by: null, reason: null });
  });

  it("is refused for an unknown job or an invalid body", async () => {
    await call("post", "/jobs/nobody/pause").expect(404);
    await call("post", "/jobs/nobody/resume").expect(404);
    await call("post", "/jobs/brew/pause", { why: "x" }).expect(422);
  });
});

describe("GET /jobs/{name}/next", () => {
  it("returns slots in UTC and in the zone of the job", async () => {
    const document = { command: "x", cron: ["30 7 * * *", "0 0 1 1 *"], timezone: "Asia/Kolkata" };
    await call("put", "/jobs/early", document).expect(201);
    const { body } = await call("get", "/jobs/early/next?count=100").expect(200);
    expect(body.timezone).toBe("Asia/Kolkata");
    expect(body.items).toHaveLength(100);
    for (const { at, local } of body.items) {
      expect(local).toMatch(/T(07:30|00:00):00\+05:30$/);
      expect(new Date(local)).toEqual(new Date(at));
    }
    expect((await call("get", "/jobs/early/next")).body.items).toEqual(body.items.slice(0, 5));
  });

  it("refuses counts outside 1 to 100 and unknown jobs", async () => {
    for (const count of ["0", "101", "x", "1.5"])
      await call("get", `/jobs/early/next?count=${count}`).expect(400);
    await call("get", "/jobs/nobody/next").expect(404);
  });
});

describe("revisions", () => {
  it("are the earlier documents of the job, newest first, page by page", async () => {
    for (const command of ["one", "two", "three"])
      await call("put", "/jobs/story", { command, cron: "@daily" });
    const first = await call("get", "/jobs/story/revisions?limit=2").expect(200);
    expect(first.body.items).toMatchObject([
      { number: 3, document: { name: "story", command: "three" } },
      { number: 2, document: { command: "two", cron: "@daily" } },
    ]);
    expect(first.headers["link"]).toContain('rel="next"');
    const rest = await call("get", `/jobs/story/revisions?limit=2&cursor=${first.body.next_cursor}`).expect(
      200,
    );
    expect(rest.body).toMatchObject({
      items: [{ number: 1, document: { command: "one" } }],
      next_cursor: null,
    });
  });

  it("restore the job when they are saved again", async () => {
    const { body } = await call("get", "/jobs/story/revisions/1").expect(200);
    expect(body).toEqual({
      number: 1,
      created_at: expect.stringMatching(/Z$/),
      document: expect.any(Object),
    });
    const back = await call("put", "/jobs/story", body.document).expect(200);
    expect(back.body).toMatchObject({ revision: 4, command: "one" });
  });

  it("answer 404 when they are unknown", async () => {
    const { body } = await call("get", "/jobs/story/revisions/9").expect(404);
    expect(body.code).toBe("revision_not_found");
    await call("get", "/jobs/story/revisions/0").expect(400);
    await call("get", "/jobs/nobody/revisions").expect(404);
    await call("get", "/jobs/nobody/revisions/1").expect(404);
    await call("get", "/jobs/story/revisions?cursor=bm9uZQ").expect(400);
  });
});
