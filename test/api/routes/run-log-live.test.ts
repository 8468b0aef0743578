/** The output of a run while it runs: read as it is, followed to the end, and followed on from any byte. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeToken } from "../../support/make-token.ts";
import { eventText, follow } from "../../support/stream-follower.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

const SOON = { timeout: 15_000, interval: 20 };
const MANY = 12_000_000;
const EVENTS = { accept: "text/event-stream" };

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

/** A command that goes on when it is told so: `wait NAME` waits for `tell`. */
const waits = "wait() { until [ -e $CARILLON_RUN_ID.$1 ]; do sleep 0.02; done; }; ";
const tell = (id: string, name: string) => writeFile(join(service.jobsDir, `${id}.${name}`), "");

async function begin(name: string, command: string, more: object = {}): Promise<string> {
  await service.client.putJob(name, { command: waits + command, ...more });
  return (await service.client.trigger(name)).id;
}

const log = (id: string, query = "") => service.client.call<string>("GET", `/runs/${id}/log${query}`);

it("is there while the command runs, in the run as well", async () => {
  const id = await begin("live", "echo one; wait more; echo two; wait end");
  await expect.poll(async () => (await log(id)).body, SOON).toBe("one\n");
  expect(await service.client.run(id)).toMatchObject({ state: "running", log: "one\n" });
  using range = await follow(service, `/runs/${id}/log`, { range: "bytes=1-" });
  expect(await range.ended).toBe("ne\n");
  expect(range).toMatchObject({ status: 206, headers: { "content-range": "bytes 1-3/*" } });
  await tell(id, "more");
  await expect.poll(async () => (await log(id, "?tail=1")).body, SOON).toBe("two\n");
  await tell(id, "end");
  expect((await service.client.run(id, "30s")).log).toBe("one\ntwo\n");
});

it("is followed to the end, with the headers before there is anything", async () => {
  const id = await begin("followed", "wait first; echo one; wait second; echo two");
  using follower = await follow(service, `/runs/${id}/log?follow=true`);
  expect(follower.headers).toMatchObject({
    "content-type": "text/plain; charset=utf-8",
    "x-accel-buffering": "no",
    "transfer-encoding": "chunked",
  });
  await tell(id, "first");
  await expect.poll(() => follower.text(), SOON).toBe("one\n");
  using late = await follow(service, `/runs/${id}/log?follow=true&tail=0`);
  await tell(id, "second");
  expect(await follower.ended).toBe("one\ntwo\n");
  expect(await late.ended).toBe("two\n");
});

it("is followed from a queued run on, over its retries, and one attempt alone where that is asked", async () => {
  const command = `${waits}echo begin $CARILLON_ATTEMPT; wait go$CARILLON_ATTEMPT; printf 'end '; exit 1`;
  const limits = { retries: 2, retry: { delay: "1ms" }, concurrency: { limit: 1 } };
  await service.client.putJob("retried", { command, ...limits });
  const holder = await service.client.trigger("retried");
  const { id, state } = await service.client.trigger("retried");
  expect(state).toBe("queued");
  using all = await follow(service, `/runs/${id}/log?follow=true`);
  using events = await follow(service, `/runs/${id}/log?attempt=all`, EVENTS);
  for (const name of ["go0", "go1", "go2"]) await tell(holder.id, name);
  await expect.poll(() => all.text(), SOON).toBe("begin 0\n");
  using first = await follow(service, `/runs/${id}/log?follow=true&attempt=0`);
  await tell(id, "go0");
  expect(await first.ended).toBe("begin 0\nend ");
  await expect.poll(() => all.text(), SOON).toBe("begin 0\nend begin 1\n");
  await tell(id, "go1");
  await tell(id, "go2");
  const whole = "begin 0\nend begin 1\nend begin 2\nend ";
  expect(await all.ended).toBe(whole);
  await events.ended;
  expect(eventText(events.events())).toBe(whole);
  expect(new Set(events.events().map(({ data }) => data.attempt))).toEqual(new Set([0, 1, 2, undefined]));
  expect(events.events().at(-1)).toEqual({
    name: "end",
    id: undefined,
    data: { state: "failed", status: 1 },
  });
});

it("ends for a follower when its token expires or is revoked", async () => {
  const id = await begin("guarded", "echo one; wait more; echo two; wait end");
  const token = async (name: string) => ({
    url: service.url,
    token: await makeToken(service, name, { scopes: ["trigger"], expires_in: "1h" }),
  });
  const [revoked, expired, valid] = [await token("revoked"), await token("expired"), await token("valid")];
  using text = await follow(revoked, `/runs/${id}/log?follow=true`);
  using events = await follow(expired, `/runs/${id}/log`, EVENTS);
  using other = await follow(valid, `/runs/${id}/log?follow=true`);
  using admin = await follow(service, `/runs/${id}/log?follow=true`);
  await expect.poll(() => text.text(), SOON).toBe("one\n");
  await expect.poll(() => eventText(events.events()), SOON).toBe("one\n");
  await service.client.call("DELETE", "/tokens/revoked");
  await service.prisma.$executeRaw`UPDATE token SET expires_at = now() WHERE name = 'expired'`;
  expect(await text.ended).toBe("one\n");
  await events.ended;
  expect(events.events().map(({ name }) => name)).not.toContain("end");
  await tell(id, "more");
  await tell(id, "end");
  expect([await other.ended, await admin.ended]).toEqual(["one\ntwo\n", "one\ntwo\n"]);
  expect([text.text(), eventText(events.events())]).toEqual(["one\n", "one\n"]);
});

it("holds back the beginning of a character until the rest has come", async () => {
  const id = await begin("split", "printf 'a\\303'; wait more; printf '\\251b\\360\\237'; wait end");
  using text = await follow(service, `/runs/${id}/log?follow=true`);
  using events = await follow(service, `/runs/${id}/log`, EVENTS);
  await expect.poll(() => text.text(), SOON).toBe("a");
  expect((await log(id)).body).toBe("a");
  await tell(id, "more");
  await expect.poll(() => text.text(), SOON).toBe("aéb");
  await expect.poll(() => eventText(events.events()), SOON).toBe("aéb");
  expect(events.events().map((event) => event.id)).toEqual(["0:1", "0:4"]);
  await tell(id, "end");
  // What never came is shown as missing.
  expect(await text.ended).toBe("aéb\uFFFD");
  await events.ended;
  expect(eventText(events.events())).toBe("aéb\uFFFD");
});

it("goes on right after the byte that an event's id names, also within a character", async () => {
  const id = await begin("resumed", "printf 'x\\303\\251\\r\\n'; wait more; printf 'é!'; wait end");
  using before = await follow(service, `/runs/${id}/log`, EVENTS);
  await expect.poll(() => eventText(before.events()), SOON).toBe("xé\r\n");
  const last = String(before.events().at(-1)?.id);
  expect(last).toBe("0:5");
  using after = await follow(service, `/runs/${id}/log`, { ...EVENTS, "last-event-id": last });
  using within = await follow(service, `/runs/${id}/log`, { ...EVENTS, "last-event-id": "0:2" });
  await tell(id, "more");
  await tell(id, "end");
  for (const follower of [before, after, within]) await follower.ended;
  expect(eventText(before.events())).toBe("xé\r\né!");
  expect(eventText(after.events())).toBe("é!");
  expect(eventText(within.events())).toBe("\uFFFD\r\né!");
  expect(after.events().at(-1)?.data).toEqual({ state: "succeeded", status: 0 });
});

it("shows what came too fast as a gap, and goes on", async () => {
  const id = await begin("gap", "head -c 100000 /dev/zero | tr '\\0' a; wait more; echo b", {
    log_limit: "1KiB",
  });
  using follower = await follow(service, `/runs/${id}/log?follow=true`);
  const shown = `${"a".repeat(512)}\n... 98976 bytes omitted ...\n${"a".repeat(512)}`;
  await expect.poll(() => follower.text(), SOON).toBe(shown);
  expect(await service.client.run(id)).toMatchObject({ log: shown, log_truncated: true });
  await tell(id, "more");
  expect(await follower.ended).toBe(`${shown}b\n`);
});

it("costs one second at most when no signal comes", async () => {
  const id = await begin("unheard", "echo one; wait end");
  using follower = await follow(service, `/runs/${id}/log?follow=true`);
  await expect.poll(() => follower.text(), SOON).toBe("one\n");
  const { id: attemptId } = await service.prisma.attempt.findFirstOrThrow({ where: { runId: id } });
  await service.prisma.attemptLog.create({
    data: { attemptId, position: 4, bytes: Buffer.from("silently\n") },
  });
  await expect.poll(() => follower.text(), SOON).toBe("one\nsilently\n");
  await tell(id, "end");
});

it("ends when the service stops, also for who takes nothing", { timeout: 30_000 }, async () => {
  const other = await startTestService();
  await other.client.putJob("long", { command: "echo; sleep 60" });
  const { id } = await other.client.trigger("long");
  using text = await follow(other, `/runs/${id}/log?follow=true`);
  using events = await follow(other, `/runs/${id}/log`, EVENTS);
  await expect.poll(() => text.text(), SOON).toBe("\n");
  using stuck = await follow(other, `/runs/${id}/log?follow=true`, {}, { paused: true });
  // More than the sockets between us hold.
  const { id: attemptId } = await other.prisma.attempt.findFirstOrThrow({ where: { runId: id } });
  const data = Array.from({ length: 100 }, (_, index) => {
    return { attemptId, position: 1 + (index * MANY) / 100, bytes: Buffer.alloc(MANY / 100, "x") };
  });
  await other.prisma.attemptLog.createMany({ data });
  await expect.poll(() => text.bytes(), SOON).toBe(MANY + 1);
  await other[Symbol.asyncDispose]();
  // No proper end: the run goes on.
  await expect(text.ended).rejects.toMatchObject({ code: "ECONNRESET" });
  expect(text.bytes()).toBe(MANY + 1);
  await events.ended;
  expect(events.events().map(({ name }) => name)).not.toContain("end");
  expect(stuck.text()).toBe("");
});

it("gives 200 followers all of it, whatever one who reads a byte a second does", async () => {
  const id = await begin("popular", "wait first; seq 1 100000; wait second; seq 100001 130000");
  const everything = Array.from({ length: 130_000 }, (_, index) => `${index + 1}\n`).join("");
  using slow = await follow(service, `/runs/${id}/log?follow=true`, {}, { paused: true });
  const read = setInterval(() => slow.response.read(1), 1_000);
  const path = `/runs/${id}/log?follow=true`;
  const followers = await Promise.all(
    Array.from({ length: 200 }, (_, index) => follow(service, path, index % 2 === 0 ? {} : EVENTS)),
  );
  await tell(id, "first");
  await expect.poll(() => followers[0]?.text().length, SOON).toBeGreaterThan(100_000);
  await tell(id, "second");
  const texts = await Promise.all(followers.map(({ ended }) => ended));
  const plain = texts.filter((_, index) => index % 2 === 0);
  expect(plain.filter((text) => text !== everything)).toHaveLength(0);
  const events = followers.filter((_, index) => index % 2 === 1).map((one) => eventText(one.events()));
  expect(events.filter((text) => text !== everything)).toHaveLength(0);
  clearInterval(read);
});
