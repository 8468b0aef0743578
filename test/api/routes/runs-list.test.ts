/** The filters of lists of runs. */
import supertest from "supertest";
import { v7 as uuidv7 } from "uuid";
import { afterAll, beforeAll, expect, it } from "vitest";
import { insertRuns } from "../../support/run-rows.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

const DAY_MS = 86_400_000;
const NOON = Date.parse("2026-03-01T12:00:00Z");

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api" });
  await seed();
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const call = (method: "get" | "post", path: string) =>
  supertest(service.url)[method](`/api/v1${path}`).set("authorization", `Bearer ${service.token}`);

/** The runs of a list, by the number that each was triggered by. */
async function found(query: string, path = "/runs"): Promise<string> {
  const { body } = await call("get", `${path}?${query}`).expect(200);
  return body.items.map((run: { triggered_by: string }) => run.triggered_by).join(" ");
}

async function seed(): Promise<void> {
  const { client, prisma } = service;
  await client.call("PUT", "/schedules/bar", {
    jobs: { tea: { command: "true", labels: { team: "hot", level: "1" } } },
  });
  await client.putJob("beer", { command: "true", labels: { team: "cold", "a=b": "c" } });
  const row = (number: number, ageDays: number, more: object) => {
    const triggeredAt = new Date(Date.now() - ageDays * DAY_MS);
    return {
      id: uuidv7({ msecs: triggeredAt.getTime() }),
      triggeredAt,
      triggeredBy: String(number),
      ...more,
    };
  };
  const rows = [
    row(1, 30, { state: "succeeded", status: 0 }),
    row(2, 10, { state: "failed", status: 1, trigger: "cron" }),
    row(3, 2, { state: "failed", status: 75 }),
    row(4, 0.1, { state: "cancelled" }),
  ];
  await insertRuns(prisma, "tea", rows.length, (i) => rows[i] ?? {});
  const others = [
    row(5, 9, { state: "failed", status: 1 }),
    row(6, 0, { state: "queued", trigger: "rerun" }),
  ];
  await insertRuns(prisma, "beer", others.length, (i) => others[i] ?? {});
  await client.putJob("tea", { command: "true", labels: { team: "lukewarm" } });
  const old = [row(7, 0, { triggeredAt: new Date(NOON), id: uuidv7({ msecs: NOON }), state: "skipped" })];
  await insertRuns(prisma, "tea", 1, () => old[0] ?? {});
}

it.each([
  ["", "6 4 3 5 2 1 7"],
  ["job=tea", "4 3 2 1 7"],
  ["job=tea&job=beer&limit=3", "6 4 3"],
  ["schedule=bar", "4 3 2 1 7"],
  ["schedule=bar&schedule=default&state=failed", "3 5 2"],
  ["state=failed", "3 5 2"],
  ["state=failed&state=queued&state=failed", "6 3 5 2"],
  ["job=tea&state=failed&state=cancelled", "4 3 2"],
  ["status=1", "5 2"],
  ["status=1&status=75", "3 5 2"],
  ["triggered_by=2&triggered_by=6", "6 2"],
  ["trigger=cron&trigger=rerun", "6 2"],
  ["since=3d", "6 4 3"],
  ["since=2w", "6 4 3 5 2"],
  ["since=12h&state=cancelled", "4"],
  ["until=1w&since=3w", "5 2"],
  ["until=5m", "4 3 5 2 1 7"],
  ["until=2026-03-01T12:00:00Z", ""],
  ["until=2026-03-01T13:00:00.001%2B01:00", "7"],
  ["until=2026-03-01T13:00:00.001+01:00", "7"],
  ["since=2026-03-01T12:00:00Z&until=2026-03-02T00:00:00Z", "7"],
  ["since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z&state=skipped", "7"],
  ["since=99999w&state=skipped", "7"],
  ["label=team=hot", "4 3 2 1"],
  ["label=team=lukewarm", "7"],
  ["label=team=hot&label=level=1&state=failed", "3 2"],
  ["label=team=hot&label=level=2", ""],
  ["label=team=hot=1", ""],
])("finds the runs of ?%s", async (query, expected) => {
  expect(await found(query)).toBe(expected);
});

it("lists the runs of one job by all filters, also once the job is deleted", async () => {
  expect(await found("state=failed&since=3d", "/jobs/tea/runs")).toBe("3");
  await service.client.putJob("late", { command: "true" });
  await insertRuns(service.prisma, "late", 1, () => ({ state: "skipped", triggeredBy: "8" }));
  await service.client.call("DELETE", "/jobs/late");
  await service.client.putJob("late", { command: "true" });
  await insertRuns(service.prisma, "late", 1, () => ({ state: "skipped", triggeredBy: "9" }));
  expect(await found("", "/jobs/late/runs")).toBe("9 8");
  expect(await found("job=late")).toBe("9 8");
  expect((await call("get", "/jobs/nobody/runs").expect(404)).body.code).toBe("job_not_found");
});

it("keeps the filters from page to page", async () => {
  const pages: string[] = [];
  for (let path: string | undefined = "/jobs/tea/runs?limit=1&state=failed&state=cancelled"; path; ) {
    const { body, headers }: supertest.Response = await call("get", path).expect(200);
    pages.push(...body.items.map((run: { triggered_by: string }) => run.triggered_by));
    path = /<\/api\/v1(.*)>; rel="next"/.exec(headers["link"] ?? "")?.[1];
    expect(body.next_cursor === null).toBe(path === undefined);
  }
  expect(pages.join(" ")).toBe("4 3 2");
});

it.each([
  ["since=yesterday", "since"],
  ["since=2026-03-01", "since"],
  ["since=2026-03-01T12:00:00", "since"],
  ["until=3 days", "until"],
  ["since=2w&since=3w", "since"],
  ["label=team", "label"],
  ["label=%3Dhot", "label"],
  ["status=x", "status"],
  ["status=256", "status"],
  ["trigger=button", "trigger"],
  [Array.from({ length: 51 }, () => "job=tea").join("&"), "job"],
])("refuses ?%s", async (query, path) => {
  const { body } = await call("get", `/runs?${query}`).expect(400);
  expect(body).toMatchObject({ code: "bad_request", errors: [{ path: expect.stringContaining(path) }] });
});
