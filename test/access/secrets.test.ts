/** Secrets over the API: they go in, commands get them, and nothing shows them. */
import { chmod, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { answer, startSink } from "../support/http-sink.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

const VALUE = "correct horse battery staple";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());
beforeEach(async () => {
  await service.prisma.secret.deleteMany();
});

const keyFile = () => join(service.jobsDir, "data/secret-keys");
const put = (name: string, value: unknown = VALUE) =>
  service.client.call<Record<string, unknown>>("PUT", `/secrets/${name}`, { value });
const job = (name: string, more: object) =>
  service.client.putJob(name, {
    command: 'printf %s "$TOKEN" | wc -c',
    env: { TOKEN: { secret: "token" } },
    ...more,
  });

it("tells names and times, and never a value", async () => {
  const made = await put("token");
  expect(made).toMatchObject({ status: 201, body: { name: "token" } });
  expect(await put("token", `${VALUE}!`)).toMatchObject({ status: 200 });
  const list = await service.client.call("GET", "/secrets");
  expect(list.body).toMatchObject({ items: [{ name: "token", created_at: made.body["created_at"] }] });
  expect(JSON.stringify([made.body, list.body])).not.toContain(VALUE);
  const [row] = await service.prisma.secret.findMany();
  expect(Buffer.from(row?.ciphertext ?? []).includes(VALUE)).toBe(false);
  expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
});

it.each([
  ["too short", "1234567"],
  ["too long", "x".repeat(16_385)],
  ["no text", 12_345_678],
])("refuses a value: %s", async (_what, value) => {
  const answer = await put("token", value);
  expect(answer).toMatchObject({ status: 422, body: { code: "invalid_document" } });
});

it("gives a command the value, and the newest one to the next", async () => {
  await put("token");
  await job("count", {});
  expect(await service.client.trigger("count", {}, "20s")).toMatchObject({ log: `${VALUE.length}\n` });
  await put("token", "another value");
  expect(await service.client.trigger("count", {}, "20s")).toMatchObject({ log: "13\n" });
  const { body } = await service.client.call<{ env: unknown }>("GET", "/jobs/count");
  expect(body.env).toEqual({ TOKEN: { secret: "token" } });
});

it("refuses a job that names a secret which is not there, and keeps one that is named", async () => {
  const document = { command: "true", env: { A: { secret: "nothing" } } };
  const refused = await service.client.call("PUT", "/jobs/uses", document);
  expect(refused).toMatchObject({ status: 422, body: { errors: [{ path: "env.A.secret" }] } });
  await put("token");
  await job("uses", {});
  const kept = await service.client.call<{ detail: string }>("DELETE", "/secrets/token");
  expect(kept).toMatchObject({ status: 409, body: { code: "secret_in_use" } });
  expect(kept.body.detail).toContain("job uses");
  await service.client.putJob("uses", { command: "true" });
  await service.client.call("DELETE", "/jobs/count");
  expect((await service.client.call("DELETE", "/secrets/token")).status).toBe(204);
  expect((await service.client.call("DELETE", "/secrets/token")).status).toBe(404);
});

it("refuses a value that stands in another one's row", async () => {
  await put("token");
  await put("other", "the other value");
  const [other, token] = await service.prisma.secret.findMany({ orderBy: { name: "asc" } });
  const { nonce, ciphertext } = other ?? {};
  await service.prisma.secret.update({
    where: { name: "token" },
    data: { ...(nonce && { nonce }), ...(ciphertext && { ciphertext }) },
  });
  expect(token?.name).toBe("token");
  await job("swapped", {});
  const run = await service.client.trigger("swapped", {}, "20s");
  expect(run).toMatchObject({ state: "failed", status: 126, attempts: [{ state: "start_failed" }] });
  expect(run.log).toContain("secret token cannot be read");
});

it("rotates: a new key in front of the old one, then all under the new one", async () => {
  await put("token");
  const before = await readFile(keyFile(), "utf8");
  await writeFile(keyFile(), `0badcafe ${Buffer.alloc(32, 7).toString("base64")}\n${before}`);
  await job("rotated", {});
  expect(await service.client.trigger("rotated", {}, "20s")).toMatchObject({ log: `${VALUE.length}\n` });
  expect(await service.client.call("POST", "/secrets/rotate")).toMatchObject({ body: { rotated: 1 } });
  expect((await service.prisma.secret.findFirst())?.keyId).toBe("0badcafe");
  await writeFile(keyFile(), `0badcafe ${Buffer.alloc(32, 7).toString("base64")}\n`);
  expect(await service.client.trigger("rotated", {}, "20s")).toMatchObject({ log: `${VALUE.length}\n` });
  await writeFile(keyFile(), before);
  const unreadable = await service.client.call("POST", "/secrets/rotate");
  expect(unreadable).toMatchObject({ status: 409, body: { code: "secret_unreadable" } });
});

it.each([
  ["no key file", undefined],
  ["a key file of its own", `0badcafe ${Buffer.alloc(32, 7).toString("base64")}\n`],
])("takes no value on a node with %s while the others have another key", async (_what, own) => {
  await put("token");
  const [before] = await service.prisma.secret.findMany();
  await rename(keyFile(), `${keyFile()}.other-node`);
  if (own !== undefined) await writeFile(keyFile(), own, { mode: 0o600 });
  for (const name of ["token", "other"]) {
    const { status, body } = await put(name);
    expect([status, body["code"]]).toEqual([409, "secret_unreadable"]);
    expect(body["detail"]).toContain("copy the key file of the other node");
  }
  if (own === undefined) await expect(stat(keyFile())).rejects.toThrow("ENOENT");
  expect(await service.prisma.secret.findMany()).toEqual([before]);
  await rm(keyFile(), { force: true });
  await rename(`${keyFile()}.other-node`, keyFile());
  expect(await put("other")).toMatchObject({ status: 201 });
});

it("stores no URL that is a secret when its receiver says it, be it only a host", async () => {
  await using sink = await startSink();
  sink.handler = answer(200, `you called ${sink.url()}`);
  await put("bare", sink.url());
  const on_success = { notify_slack_webhook: [{ url: { secret: "bare" } }] };
  await service.client.putJob("bare", { command: "true", on_success });
  const { id } = await service.client.trigger("bare", {}, "20s");
  const tries = async () => (await service.client.run(id)).deliveries[0]?.tries;
  await expect.poll(tries, { timeout: 15_000 }).toMatchObject([{ response: "you called [redacted]" }]);
});

it("will not use a key file that others may read", async () => {
  await put("token");
  await job("open", {});
  await chmod(keyFile(), 0o644);
  const run = await service.client.trigger("open", {}, "20s");
  expect(run).toMatchObject({ state: "failed", status: 126 });
  expect(run.log).toContain("can be read by other users");
  await chmod(keyFile(), 0o600);
});
