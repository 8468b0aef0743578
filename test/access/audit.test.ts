/** The audit: each write leaves an entry that says who changed what, when and from where, and no value. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, createClient, type Run } from "../support/api-client.ts";
import { makeToken } from "../support/make-token.ts";
import { routeTable } from "../support/route-table.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

interface Entry {
  id: string;
  at: string;
  actor: string;
  address: string;
  action: string;
  target: string;
  changes: Record<string, unknown>;
}
interface Page {
  items: Entry[];
  next_cursor: string | null;
}

let service: TestService;
let ann: Client;
const ids: Record<string, string> = {};
beforeAll(async () => {
  service = await startTestService();
  ann = createClient(service.url, await makeToken(service, "ann", { scopes: ["admin"] }));
  const on_success = { notify_webhook: ["http://127.0.0.1:9/"] };
  await service.client.putJob("coffee", { command: "true", on_success, env: { CUP: "canary" } });
  await service.client.putJob("slow", { command: "true", concurrency: { limit: 1 } });
  const done = await service.client.trigger("coffee", {}, "30s");
  ids["done"] = done.id;
  ids["delivery"] = String(done.deliveries[0]?.id);
  await service.client.putJob("waits", { command: "sleep 60", concurrency: { limit: 1 } });
  await service.client.trigger("waits");
  ids["waiting"] = (await service.client.trigger("waits")).id;
  await service.client.putJob("doomed", { command: "true" });
  await service.client.call("PUT", "/secrets/doomed", { value: "canary-secret" });
  await makeToken(service, "doomed", { scopes: ["read"] });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const audit = async (query: string) => (await ann.call<Page>("GET", `/audit?${query}`)).body.items;

/** For each route that writes a call of it, and the entry that it leaves: `[path, body, action, target, changes]`. */
const WRITES: Record<string, [path: string, body: unknown, action: string, target: string, changes: object]> =
  {
    "POST /api/v1/jobs": [
      "/jobs",
      { name: "tea", command: "true", env: { KEY: "canary" } },
      ...(["job.save", "tea"] as const),
      { created: true, schedule: "default" },
    ],
    "PUT /api/v1/jobs/:name": [
      "/jobs/tea",
      { command: "false", env: { KEY: "canary-2" }, cron: "@daily", on_error: { trigger_job: ["coffee"] } },
      ...(["job.save", "tea"] as const),
      { fields: ["command", "cron", "env", "on_error"] },
    ],
    "PATCH /api/v1/jobs/:name": [
      "/jobs/tea",
      { retry: { limit: 2 }, env: { OTHER: "canary" } },
      ...(["job.save", "tea"] as const),
      { fields: ["env", "retry"] },
    ],
    "DELETE /api/v1/jobs/:name": ["/jobs/doomed", undefined, "job.delete", "doomed", {}],
    "POST /api/v1/jobs/:name/pause": [
      "/jobs/coffee/pause",
      { reason: "canary" },
      ...(["job.pause", "coffee"] as const),
      { changed: true },
    ],
    "POST /api/v1/jobs/:name/resume": [
      "/jobs/coffee/resume",
      undefined,
      "job.resume",
      "coffee",
      { changed: true },
    ],
    "POST /api/v1/jobs/:name/trigger": [
      "/jobs/slow/trigger",
      { env: { CUP: "canary" }, events: false },
      ...(["job.trigger", "slow"] as const),
      { run: expect.any(String), env: ["CUP"], events: false },
    ],
    "POST /api/v1/runs/:id/cancel": ["/runs/$waiting/cancel", undefined, "run.cancel", "$waiting", {}],
    "POST /api/v1/runs/:id/rerun": [
      "/runs/$done/rerun",
      undefined,
      ...(["run.rerun", "$done"] as const),
      { job: "coffee", run: expect.any(String) },
    ],
    "POST /api/v1/deliveries/:id/redeliver": [
      "/deliveries/$delivery/redeliver",
      undefined,
      ...(["delivery.redeliver", "$delivery"] as const),
      {},
    ],
    "PUT /api/v1/schedules/:name": [
      "/schedules/kitchen",
      { tz_location: "Asia/Tokyo", jobs: { beans: { command: "true" }, cups: { command: "true" } } },
      ...(["schedule.save", "kitchen"] as const),
      { fields: ["tz_location"], created: ["beans", "cups"], updated: [], deleted: [] },
    ],
    "PATCH /api/v1/schedules/:name": [
      "/schedules/kitchen",
      {
        on_error: { notify_webhook: ["https://canary.example/"] },
        jobs: { beans: { retries: 1 }, cups: null },
      },
      ...(["schedule.save", "kitchen"] as const),
      { fields: ["on_error"], created: [], updated: ["beans"], deleted: ["cups"] },
    ],
    "DELETE /api/v1/schedules/:name": [
      "/schedules/kitchen",
      undefined,
      ...(["schedule.delete", "kitchen"] as const),
      { deleted: ["beans"] },
    ],
    "PUT /api/v1/secrets/:name": [
      "/secrets/key",
      { value: "canary-secret" },
      ...(["secret.save", "key"] as const),
      { created: true },
    ],
    "DELETE /api/v1/secrets/:name": ["/secrets/doomed", undefined, "secret.delete", "doomed", {}],
    "POST /api/v1/secrets/rotate": ["/secrets/rotate", undefined, "secret.rotate", "all", {}],
    "POST /api/v1/tokens": [
      "/tokens",
      { name: "button", scopes: ["trigger"], jobs: ["coffee"] },
      ...(["token.create", "button"] as const),
      { scopes: ["trigger"], jobs: ["coffee"], expires_at: null },
    ],
    "DELETE /api/v1/tokens/:name": ["/tokens/doomed", undefined, "token.delete", "doomed", {}],
  };
const HARMLESS = ["POST /api/v1/jobs/validate"];

it("has a case for each route that writes", async () => {
  const writing = (await routeTable()).filter(({ method }) => method !== "GET");
  const lines = writing
    .map(({ method, url }) => `${method} ${url}`)
    .filter((line) => !HARMLESS.includes(line));
  expect(Object.keys(WRITES).toSorted()).toEqual(lines.toSorted());
});

describe("an entry", () => {
  const known = (text: string) => text.replace(/\$(\w+)/, (_, name: string) => ids[name] ?? name);
  const cases = Object.entries(WRITES).map(([line, write]) => ({ line, write }));

  it.each(cases)("is left by $line", async ({ line, write: [path, body, action, target, changes] }) => {
    const before = await audit("limit=1");
    const { status } = await ann.call(line.split(" ")[0] ?? "", known(path), body);
    expect(status).toBeLessThan(300);
    const [entry, next] = await audit("limit=2");
    expect(entry).toEqual({
      id: expect.any(String),
      at: expect.any(String),
      ...{ actor: "ann", address: "127.0.0.1", action, target: known(target), changes },
    });
    expect(next?.id).toBe(before[0]?.id);
    expect(Math.abs(Date.now() - Date.parse(entry?.at ?? ""))).toBeLessThan(60_000);
  });

  it("has no value in it", async () => {
    const all = await service.prisma.$queryRaw<object[]>`SELECT t::text FROM audit_entry t`;
    expect(all.length).toBeGreaterThan(cases.length);
    expect(JSON.stringify(all)).not.toContain("canary");
  });
});

describe("no entry", () => {
  it("is left by what is refused, rehearsed or only read", async () => {
    const [last] = await audit("limit=1");
    await ann.call("PUT", "/jobs/new?dry_run=true", { command: "true" });
    await ann.call("PUT", "/schedules/new?dry_run=true", { jobs: {} });
    await ann.call("PUT", "/jobs/new", { command: "true", on_error: { trigger_job: ["ghost"] } });
    await ann.call("POST", "/jobs/validate", { name: "new", command: "true" });
    await ann.call("DELETE", "/jobs/ghost");
    await ann.call("POST", "/jobs/ghost/trigger");
    await ann.call("POST", "/tokens", { name: "ann", scopes: ["read"] });
    await ann.call("GET", "/jobs");
    expect((await audit("limit=1"))[0]?.id).toBe(last?.id);
  });

  it("is left by what the service does by itself", async () => {
    const { id } = await service.client.trigger("coffee", {}, "30s");
    await service.client.putJob("chain", { command: "true", on_success: { trigger_job: ["coffee"] } });
    const run = await service.client.trigger("chain", {}, "30s");
    expect(run.triggered).toEqual(["coffee"]);
    const triggers = await audit("action=job.trigger&target=coffee&limit=1");
    expect(triggers[0]?.changes["run"]).toBe(id);
  });
});

describe("the list", () => {
  it("takes filters", async () => {
    const { id } = (await service.client.call<Run>("POST", "/jobs/coffee/trigger")).body;
    const byAdmin = await audit("actor=admin&target=coffee");
    expect(byAdmin[0]).toMatchObject({ actor: "admin", action: "job.trigger", changes: { run: id } });
    expect(new Set(byAdmin.map(({ actor, target }) => `${actor} ${target}`))).toEqual(
      new Set(["admin coffee"]),
    );
    const pauses = await audit("actor=ann&action=job.pause");
    expect(pauses.map(({ target }) => target)).toEqual(["coffee"]);
    expect(await audit("actor=nobody")).toEqual([]);
    const paused = pauses[0]?.at ?? "";
    const since = await audit(`since=${paused}&limit=200`);
    const until = await audit(`until=${paused}&limit=200`);
    expect(since.every(({ at }) => at >= paused) && until.every(({ at }) => at < paused)).toBe(true);
    expect(since.length + until.length).toBe((await audit("limit=200")).length);
  });

  it("comes page by page, newest first", async () => {
    const all = await audit("limit=200");
    expect(all.map(({ id }) => id)).toEqual(
      all
        .map(({ id }) => id)
        .toSorted()
        .toReversed(),
    );
    const pages: Entry[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const query: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const { body } = await ann.call<Page>("GET", `/audit?limit=7${query}`);
      pages.push(...body.items);
      cursor = body.next_cursor;
    }
    // Reading leaves nothing behind, so both are of the same length.
    expect(pages).toEqual(all);
    expect((await ann.call("GET", "/audit?cursor=x")).status).toBe(400);
  });
});
