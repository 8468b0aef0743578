/** The calls on deliveries: lists, single ones, and having one tried again. */
import supertest from "supertest";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Run } from "../../support/api-client.ts";
import { answer, hang, inTurn, type Sink, startSink } from "../../support/http-sink.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

let service: TestService;
let sink: Sink;
beforeAll(async () => {
  sink = await startSink();
  service = await startTestService({}, { deliveryDelaysMs: [0, 1, 3_600_000] });
}, 30_000);
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
});

const call = (method: "get" | "post", path: string) =>
  supertest(service.url)[method](`/api/v1${path}`).set("authorization", `Bearer ${service.token}`);

/** Runs a job that notifies the sink; answers the run. */
async function notifying(job: string): Promise<Run> {
  await service.client.putJob(job, {
    command: "echo hi",
    on_success: { notify_webhook: [sink.url(`/${job}`)] },
  });
  return service.client.trigger(job, undefined, "30s");
}

/** The delivery of a run once it has so many tries. */
async function deliveryOf(run: Run, tries: number) {
  const id = String((await service.client.run(run.id)).deliveries[0]?.id);
  const read = async () => (await call("get", `/deliveries/${id}`).expect(200)).body;
  await expect.poll(async () => (await read()).tries.length, { timeout: 20_000 }).toBe(tries);
  return read();
}

it("sends a delivered one again with the same id and body on a new schedule, and keeps its tries", async () => {
  sink.handler = answer(204);
  const run = await notifying("twice");
  const first = await deliveryOf(run, 1);
  expect(first).toMatchObject({ state: "delivered", run_id: run.id, name: "twice", event: "on_success" });

  sink.handler = inTurn(answer(500), answer(200));
  const accepted = await call("post", `/deliveries/${first.id}/redeliver`).expect(202);
  expect(accepted.headers["location"]).toBe(`/api/v1/deliveries/${first.id}`);
  expect(accepted.body.id).toBe(first.id);
  const again = await deliveryOf(run, 3);
  expect(again).toMatchObject({ state: "delivered", finished_at: expect.any(String), next_try_at: null });
  expect(again.tries.map(({ status }: { status: number }) => status)).toEqual([204, 500, 200]);
  const bodies = sink.received.filter(({ path }) => path === "/twice").map(({ body }) => body);
  expect(bodies).toHaveLength(3);
  expect(new Set(bodies).size).toBe(1);
});

it("restarts the schedule of a failed delivery", async () => {
  sink.handler = answer(503);
  const run = await notifying("failing");
  const { id } = await deliveryOf(run, 2);
  await service.prisma.delivery.update({
    where: { id },
    data: { state: "failed", nextTryAt: null, messageId: null, finishedAt: new Date() },
  });
  await call("post", `/deliveries/${id}/redeliver`).expect(202);
  const again = await deliveryOf(run, 4);
  expect(again).toMatchObject({ state: "pending", finished_at: null });
  expect(Date.parse(again.next_try_at)).toBeGreaterThan(Date.now() + 2_000_000);
});

it("sends a delivery that waits for its next try at once, and keeps its schedule", async () => {
  sink.handler = inTurn(answer(500), answer(500), answer(500));
  const run = await notifying("waiting");
  const { id, next_try_at: planned } = await deliveryOf(run, 2);
  expect(Date.parse(planned)).toBeGreaterThan(Date.now());
  await call("post", `/deliveries/${id}/redeliver`).expect(202);
  expect(await deliveryOf(run, 3)).toMatchObject({ state: "failed", next_try_at: null });
  expect(sink.received.filter(({ path }) => path === "/waiting")).toHaveLength(3);
});

it("does not touch a delivery while a try is in progress", async () => {
  sink.handler = hang;
  const run = await notifying("hanging");
  await sink.next(({ path }) => path === "/hanging");
  const id = String((await service.client.run(run.id)).deliveries[0]?.id);
  const before = await service.prisma.delivery.findUniqueOrThrow({ where: { id } });
  await call("post", `/deliveries/${id}/redeliver`).expect(202);
  expect(await service.prisma.delivery.findUniqueOrThrow({ where: { id } })).toEqual(before);
});

it("lists deliveries newest first, filtered, page by page, each with its last try", async () => {
  sink.handler = answer(204);
  const older = await notifying("listed");
  const newer = await notifying("listed");
  await Promise.all([deliveryOf(older, 1), deliveryOf(newer, 1)]);
  const runs = async (query: string) => {
    const { body } = await call("get", `/deliveries?${query}`).expect(200);
    return body.items.map(({ run_id }: { run_id: string }) => run_id);
  };
  expect(await runs("job=listed")).toEqual([newer.id, older.id]);
  expect(await runs("job=listed&state=pending&state=failed")).toEqual([]);
  expect(await runs("job=listed&state=delivered&since=1h")).toEqual([newer.id, older.id]);
  expect(await runs("job=listed&until=1h")).toEqual([]);
  expect(await runs(`run=${older.id}`)).toEqual([older.id]);

  const first = await call("get", "/deliveries?job=listed&limit=1").expect(200);
  expect(first.body.items).toMatchObject([
    { run_id: newer.id, state: "delivered", tries_made: 1, last_try: { status: 204, error: null } },
  ]);
  expect(first.body.items[0]).not.toHaveProperty("tries");
  const next = /<\/api\/v1(.*)>; rel="next"/.exec(String(first.headers["link"]))?.[1];
  const second = await call("get", String(next)).expect(200);
  expect(second.body).toMatchObject({ items: [{ run_id: older.id }], next_cursor: null });
});

it.each([
  ["get", "/deliveries/01890000-0000-7000-8000-000000000000", 404, "delivery_not_found"],
  ["post", "/deliveries/01890000-0000-7000-8000-000000000000/redeliver", 404, "delivery_not_found"],
  ["get", "/deliveries/no-id", 400, "bad_request"],
  ["get", "/deliveries?state=lost", 400, "bad_request"],
  ["get", "/deliveries?run=x", 400, "bad_request"],
  ["get", "/deliveries?since=x", 400, "bad_request"],
  ["get", "/deliveries?cursor=x", 400, "malformed_cursor"],
  ["get", "/deliveries?job=nobody", 404, "job_not_found"],
  ["get", "/deliveries?run=01890000-0000-7000-8000-000000000000", 404, "run_not_found"],
] as const)("answers %s %s with %i %s", async (method, path, status, code) => {
  expect((await call(method, path).expect(status)).body.code).toBe(code);
});
