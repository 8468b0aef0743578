/** Deliveries: durable, tried on their schedule, recorded, and never in a run's way (promise 6). */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, it } from "vitest";
import { DELIVERY_DELAYS_MS, deliveryDelayMs } from "../../src/deliveries/rules/retry-schedule.ts";
import type { Run } from "../support/api-client.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { answer, hang, inTurn, startSink } from "../support/http-sink.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

const NOTIFYING = (url: string) => ({ command: "echo done", on_success: { notify_webhook: [url] } });

/** The only delivery of a run, once it is in this state. */
async function deliveryOf(service: TestService, run: Run, state: string): Promise<Run["deliveries"][number]> {
  const read = async () => (await service.client.run(run.id)).deliveries[0];
  await expect.poll(async () => (await read())?.state, { timeout: 20_000 }).toBe(state);
  const delivery = await read();
  if (delivery === undefined) throw new Error("there is no delivery");
  return delivery;
}

it("tries again with the same id and body until a 2xx, and records each try", async () => {
  await using sink = await startSink(
    inTurn(answer(500, "no".repeat(2_000)), answer(302, "", { location: "/" }), answer(204)),
  );
  await using service = await startTestService({}, { deliveryDelaysMs: [0, 10, 10] });
  await service.client.putJob("job", NOTIFYING(sink.url("/hook")));
  const run = await service.client.trigger("job", undefined, "30s");
  const delivery = await deliveryOf(service, run, "delivered");

  expect(delivery.tries.map(({ status }) => status)).toEqual([500, 302, 204]);
  expect(delivery.tries[0]?.response).toBe("no".repeat(1_024));
  expect(delivery.tries.every((one) => one.duration_ms >= 0 && one.error === null)).toBe(true);
  expect(sink.received.map(({ path }) => path)).toEqual(["/hook", "/hook", "/hook"]);
  expect(new Set(sink.received.map(({ body }) => body)).size).toBe(1);
  expect(JSON.parse(String(sink.received[0]?.body))).toMatchObject({ delivery_id: delivery.id });
});

it("gives up after the last try of its schedule", async () => {
  await using sink = await startSink(answer(503));
  await using service = await startTestService({}, { deliveryDelaysMs: [0, 5, 5, 5] });
  await service.client.putJob("job", NOTIFYING(sink.url()));
  const run = await service.client.trigger("job", undefined, "30s");
  const delivery = await deliveryOf(service, run, "failed");
  expect(delivery.tries).toHaveLength(4);
  expect(delivery).toMatchObject({ next_try_at: null, finished_at: expect.any(String) });
});

it("keeps to the schedule of promise 6, within 20 % either way", () => {
  expect(DELIVERY_DELAYS_MS.map((ms) => ms / 1_000)).toEqual([
    0, 5, 30, 300, 1_800, 7_200, 18_000, 36_000, 36_000,
  ]);
  expect([deliveryDelayMs(1, 0), deliveryDelayMs(1, 0.5), deliveryDelayMs(1, 0.999999)]).toEqual([
    4_000, 5_000, 6_000,
  ]);
  expect(deliveryDelayMs(9, 0.5)).toBeUndefined();
});

it("blocks an address that the guard refuses, and names the setting that allows it", async () => {
  await using sink = await startSink();
  await using service = await startTestService({ WEBHOOK_ALLOW_CIDR: "" });
  await service.client.putJob("job", NOTIFYING(sink.url()));
  const run = await service.client.trigger("job", undefined, "30s");
  const delivery = await deliveryOf(service, run, "blocked");
  expect(delivery.tries).toMatchObject([
    { status: null, error: expect.stringContaining("WEBHOOK_ALLOW_CIDR") },
  ]);
  expect(sink.connections).toBe(0);
});

it("never delays or fails a run when the receiver is dead or hangs", async () => {
  await using sink = await startSink(hang);
  const dead = createServer().listen(0, "127.0.0.1");
  await once(dead, "listening");
  const { port } = dead.address() as AddressInfo;
  dead.close();
  await using service = await startTestService();
  await service.client.putJob("child", { command: "echo child" });
  await service.client.putJob("job", {
    command: "echo done",
    on_success: { notify_webhook: [sink.url(), `http://127.0.0.1:${port}/`], trigger_job: ["child"] },
  });
  const run = await service.client.trigger("job", undefined, "30s");
  expect(run.state).toBe("succeeded");
  const [child] = (await service.client.run(run.id)).triggered_runs;
  expect(await service.client.run(String(child?.id), "30s")).toMatchObject({ state: "succeeded" });
  await sink.next();
  await expect
    .poll(async () => (await service.client.run(run.id)).deliveries.map((one) => one.tries[0]?.error ?? null))
    .toContainEqual(expect.stringContaining("ECONNREFUSED"));
});

it("survives a restart between two tries", async () => {
  await using sink = await startSink(inTurn(answer(500), answer(200)));
  await using database = await freshDatabase();
  const environment = { DATABASE_URL: database.connectionString };
  let run: Run;
  {
    await using before = await startTestService(environment, { deliveryDelaysMs: [0, 2_000] });
    await before.client.putJob("job", NOTIFYING(sink.url()));
    run = await before.client.trigger("job", undefined, "30s");
    await sink.next();
    await expect.poll(async () => (await before.client.run(run.id)).deliveries[0]?.tries.length).toBe(1);
  }
  await using after = await startTestService(environment, { deliveryDelaysMs: [0, 2_000] });
  expect((await deliveryOf(after, run, "delivered")).tries).toHaveLength(2);
});

it.each([
  ["a timeout", { command: "echo brewing; exec sleep 60", timeout: "1s" }, 124, "timed out after 1s"],
  ["a signal", { command: "echo brewing; kill -KILL $$" }, 137, "killed by SIGKILL (signal 9)"],
])("tells receivers that the attempt ended by %s", async (_, job, status, reason) => {
  await using sink = await startSink();
  await using service = await startTestService();
  const on_error = { notify_webhook: [sink.url("/hook")], notify_slack_webhook: [sink.url("/slack")] };
  await service.client.putJob("job", { ...job, on_error });
  const run = await service.client.trigger("job", undefined, "30s");
  expect(run).toMatchObject({ state: "failed", status, reason });
  await expect.poll(() => sink.received.length).toBe(2);
  const body = (path: string) => JSON.parse(String(sink.received.find((one) => one.path === path)?.body));
  expect(body("/hook")).toMatchObject({ status, log: "brewing\n", reason });
  expect(body("/slack")).toEqual({ text: `job (exitcode ${status}):\n${reason}\nbrewing\n` });
});
