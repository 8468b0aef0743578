/** Signed webhooks as a receiver sees them: right, rotated without a gap, and tried again while a secret is missing. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Run } from "../support/api-client.ts";
import { answer, inTurn, type Sink, startSink } from "../support/http-sink.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

const FIRST = "the first of two secrets that sign";
const SECOND = `whsec_${Buffer.from("the second of them, 30 bytes..").toString("base64")}`;

let service: TestService;
let sink: Sink;
beforeAll(async () => {
  sink = await startSink();
  service = await startTestService({}, { deliveryDelaysMs: [0, 1, 1] });
}, 30_000);
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await put("first", FIRST);
  await put("second", SECOND);
});

const put = (name: string, value: string) => service.client.call("PUT", `/secrets/${name}`, { value });

type Received = Awaited<ReturnType<Sink["next"]>>;

/** Runs a job whose success notifies the sink at a path of its own, with this secret; answers the run. */
async function notify(path: string, secret?: unknown, headers?: object): Promise<Run> {
  const target = {
    url: sink.url(path),
    ...(secret !== undefined && { secret }),
    ...(headers && { headers }),
  };
  await service.client.putJob(path.slice(1), {
    command: "echo done",
    on_success: { notify_webhook: [target] },
  });
  return service.client.trigger(path.slice(1), undefined, "30s");
}

/** The delivery of a run once it is in this state. */
async function deliveryOf(run: Run, state: string): Promise<Run["deliveries"][number] | undefined> {
  const read = async () => (await service.client.run(run.id)).deliveries[0];
  await expect.poll(async () => (await read())?.state, { timeout: 15_000 }).toBe(state);
  return read();
}

/** Which of the keys a request is signed with, each signature in its turn. */
function signedWith({ headers, body }: Received, keys: Record<string, string>): string[] {
  const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const signatures = String(headers["webhook-signature"]).split(" ");
  return signatures.map((signature) => {
    const [version, mac = ""] = signature.split(",");
    expect(version).toBe("v1");
    const fits = ([, key]: [string, string]) =>
      timingSafeEqual(createHmac("sha256", key).update(content).digest(), Buffer.from(mac, "base64"));
    return Object.entries(keys).find(fits)?.[0] ?? "nobody's";
  });
}
const KEYS = { first: FIRST, second: Buffer.from(SECOND.slice(6), "base64").toString() };

it("has the delivery's id, and a new time and signature at each try", async () => {
  sink.handler = inTurn(answer(500), answer(200));
  const run = await notify("/signed", "first", { Authorization: "Bearer x" });
  const delivery = await deliveryOf(run, "delivered");
  const received = sink.received.filter(({ path }) => path === "/signed");
  expect(received).toHaveLength(2);
  for (const [index, request] of received.entries()) {
    expect(request.headers).toMatchObject({ "webhook-id": delivery?.id, authorization: "Bearer x" });
    const startedAt = Date.parse(String(delivery?.tries[index]?.started_at));
    expect(request.headers["webhook-timestamp"]).toBe(String(Math.floor(startedAt / 1_000)));
    expect(signedWith(request, KEYS)).toEqual(["first"]);
  }
});

it("has two signatures during a rotation, while the document shows only the names of the secrets", async () => {
  sink.handler = answer(200);
  await notify("/rotating", ["first", "second"]);
  expect(signedWith(await sink.next(({ path }) => path === "/rotating"), KEYS).toSorted()).toEqual([
    ...["first", "second"],
  ]);
  const { body } = await service.client.call<object>("GET", "/jobs/rotating");
  const target = { url: sink.url("/rotating"), secret: ["first", "second"] };
  expect(body).toMatchObject({ on_success: { notify_webhook: [target] } });
  expect(JSON.stringify(body)).not.toContain(FIRST);
  // What was read is saved again, and is the same.
  const again = await service.client.call("PUT", "/jobs/rotating?dry_run=true", body);
  expect(again).toMatchObject({ status: 200, body: { unchanged: ["rotating"] } });
});

it("is unsigned without a secret, but has the headers that identify repetitions", async () => {
  sink.handler = answer(200);
  const run = await notify("/unsigned");
  const delivery = await deliveryOf(run, "delivered");
  const { headers } = await sink.next(({ path }) => path === "/unsigned");
  expect(headers).toMatchObject({
    "webhook-id": delivery?.id,
    "webhook-timestamp": expect.stringMatching(/^\d{10}$/),
  });
  expect(headers).not.toHaveProperty("webhook-signature");
});

it("is also signed when its action belongs to a schedule", async () => {
  sink.handler = answer(200);
  const on_success = { notify_webhook: [{ url: sink.url("/schedule"), secret: "second" }] };
  await service.client.call("PUT", "/schedules/signing", {
    on_success,
    jobs: { plain: { command: "true" } },
  });
  await service.client.trigger("plain", undefined, "30s");
  expect(signedWith(await sink.next(({ path }) => path === "/schedule"), KEYS)).toEqual(["second"]);
});

it.each([
  [
    "that is gone",
    () => service.prisma.secret.deleteMany({ where: { name: "second" } }),
    "there is no secret second",
  ],
  [
    "that cannot sign",
    () => put("second", "too short"),
    "secret second cannot sign: it must have 24 to 64 bytes",
  ],
])(
  "is not sent with a secret %s: the try fails with a reason and is repeated",
  async (what, spoil, error) => {
    sink.handler = answer(200);
    const path = `/${what.replaceAll(" ", "-")}`;
    await notify(path, ["first", "second"]);
    await sink.next((request) => request.path === path);
    await spoil();
    const run = await service.client.trigger(path.slice(1), undefined, "30s");
    const delivery = await deliveryOf(run, "failed");
    expect(delivery?.tries).toHaveLength(3);
    for (const one of delivery?.tries ?? []) {
      expect(one).toMatchObject({ status: null, response: null, error: expect.stringContaining(error) });
      expect(one.error).not.toContain("too short");
    }
    expect(sink.received.filter((request) => request.path === path)).toHaveLength(1);
    await put("second", SECOND);
    await service.client.call("POST", `/deliveries/${delivery?.id}/redeliver`);
    const sent = await sink.next((request) => request.path === path);
    expect(signedWith(sent, KEYS).toSorted()).toEqual(["first", "second"]);
  },
);

it("is refused with an unknown secret, and prevents the deletion of a known one", async () => {
  const hook = (secret: string) => ({ notify_webhook: [sink.url("/a"), { url: sink.url("/b"), secret }] });
  const document = { command: "true", on_error: hook("first"), on_success: hook("nothing") };
  expect(await service.client.call("PUT", "/jobs/naming", document)).toMatchObject({
    status: 422,
    body: {
      errors: [{ path: "on_success.notify_webhook.1.secret", message: expect.stringContaining("nothing") }],
    },
  });
  await service.client.putJob("naming", { command: "true", on_error: hook("first") });
  const refused = await service.client.call<{ detail: string }>("DELETE", "/secrets/first");
  expect(refused).toMatchObject({ status: 409, body: { code: "secret_in_use" } });
  expect(refused.body.detail).toContain("job naming");
});
