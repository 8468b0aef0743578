/** Clients who take connections and send or take next to nothing: they are cut, and nobody loses a place to them. */
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import type { FastifyInstance } from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { certificate } from "../support/certificate.ts";
import { answering, get, grants } from "../support/long-calls.ts";
import { type Stage, slowSocket } from "../support/slow-socket.ts";
import { BEARER, listen } from "../support/tiny-api.ts";

const MOST = 20;
let app: FastifyInstance;
let sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await app.close();
});

async function openSlow(port: number, stage: Stage, count: number): Promise<void> {
  for (let i = 0; i < count; i++) sockets.push(await slowSocket(port, stage));
}

const open = () => sockets.filter((socket) => !socket.closed).length;

describe.each(["nothing", "head", "body"] as const)("sockets that send %s of a request", (stage) => {
  it("are cut when their time is over", async () => {
    const started = await listen();
    ({ app } = started);
    expect(app.server).toMatchObject({
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      maxConnections: 1_001,
    });
    Object.assign(app.server, { headersTimeout: 1, requestTimeout: 2 });
    await openSlow(started.port, stage, 10);
    await expect.poll(open, { timeout: 10_000 }).toBe(0);
  });

  it("are closed, the oldest first, when a client with a request needs the place", async () => {
    const started = await listen({ maxConnections: MOST, graceMs: 0 });
    ({ app } = started);
    for (let round = 0; round < 5; round++) {
      await openSlow(started.port, stage, MOST);
      await expect.poll(open).toBeLessThanOrEqual(MOST * 0.9);
      const answer = await fetch(`http://127.0.0.1:${started.port}/private/a`, {
        headers: { authorization: BEARER, connection: "close" },
      });
      expect(answer.status).toBe(200);
    }
    await expect.poll(open).toBeLessThanOrEqual(MOST * 0.9);
    expect(sockets.slice(0, MOST * 4).filter((socket) => !socket.closed)).toEqual([]);
  });
});

it("a connection without a next request is closed, also after a response", async () => {
  const started = await listen();
  ({ app } = started);
  expect(app.server.keepAliveTimeout).toBe(72_000);
  Object.assign(app.server, { keepAliveTimeout: 1, keepAliveTimeoutBuffer: 1 });
  const socket = await get(started.port, "/healthz", "a");
  sockets.push(socket.resume());
  await expect.poll(open).toBe(0);
});

it("a connection that is receiving its response does not count as idle", async () => {
  const arrived = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const started = await listen({
    maxConnections: MOST,
    graceMs: 0,
    routes: async (scope) => {
      scope.get("/long", { config: { public: true } }, async () => {
        arrived.resolve();
        await released.promise;
        return "done";
      });
    },
  });
  ({ app } = started);
  const long = fetch(`http://127.0.0.1:${started.port}/long`);
  await arrived.promise;
  await openSlow(started.port, "nothing", 5 * MOST);
  released.resolve();
  expect(await (await long).text()).toBe("done");
});

it("connections of a burst, whose requests have not been read yet, are all answered", async () => {
  const started = await listen({ maxConnections: MOST, graceMs: 60_000 });
  ({ app } = started);
  await openSlow(started.port, "nothing", MOST);
  const answers = sockets.map(async (socket) => {
    socket.write(`GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${started.port}\r\nConnection: close\r\n\r\n`);
    return (await text(socket)).slice(0, "HTTP/1.1 200".length);
  });
  expect(await Promise.all(answers)).toEqual(answers.map(() => "HTTP/1.1 200"));
});

it("a connection without a TLS handshake is closed as well when the place is needed", async () => {
  const tls = certificate();
  const started = await listen({ tls, maxConnections: MOST, graceMs: 0 });
  ({ app } = started);
  await openSlow(started.port, "nothing", 5 * MOST);
  await expect.poll(open).toBeLessThanOrEqual(MOST * 0.9);
});

it("connections whose responses nobody reads are closed when the place is needed, but not those of followers", async () => {
  const calls = answering();
  const started = await listen({
    maxConnections: MOST,
    graceMs: 100,
    routes: calls.routes,
    findGrant: grants,
  });
  ({ app } = started);
  const quiet = await get(started.port, "/follow", "quiet");
  // A peer that reads learns that it was cut.
  sockets.push(quiet.resume());
  for (let round = 0; round < 3; round++) {
    for (const token of ["a", "b", "c"]) {
      for (let i = 0; i < 6; i++) {
        const before = calls.begun();
        sockets.push(await get(started.port, "/never-read", token));
        await expect.poll(calls.begun).toBe(before + 1);
      }
    }
    await expect.poll(calls.open).toBeLessThanOrEqual(MOST * 0.9);
    const answer = await fetch(`http://127.0.0.1:${started.port}/healthz`, {
      headers: { connection: "close" },
    });
    expect(answer.status).toBe(200);
  }
  await expect.poll(calls.open).toBeLessThanOrEqual(MOST * 0.9);
  expect(quiet.closed).toBe(false);
});

it("followers of all tokens together leave connections to others", async () => {
  const calls = answering();
  const started = await listen({ maxConnections: MOST, graceMs: 0, routes: calls.routes, findGrant: grants });
  ({ app } = started);
  const most = MOST * 0.8;
  for (let i = 0; i < most; i++) {
    sockets.push(await get(started.port, "/follow", `token-${i % 3}`));
    await expect.poll(calls.open).toBe(i + 1);
  }
  const ask = (path: string) =>
    fetch(`http://127.0.0.1:${started.port}${path}`, {
      headers: { authorization: "Bearer another", connection: "close" },
    });
  const refused = await ask("/follow");
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({
    code: "rate_limited",
    detail: expect.stringContaining(`All tokens together have ${most} calls in progress`),
  });
  for (let i = 0; i < MOST; i++) expect((await ask("/wait")).status).toBe(200);
  expect(calls.open()).toBe(most);
});

it("a client that reads nothing of a response is cut off, and one that has nothing to read is not", async () => {
  const calls = answering();
  const started = await listen({ stallTimeout: 600, routes: calls.routes, findGrant: grants });
  ({ app } = started);
  sockets.push((await get(started.port, "/follow", "a")).resume());
  await expect.poll(calls.open).toBe(1);
  for (let i = 0; i < 5; i++) sockets.push(await get(started.port, "/never-read", "a"));
  await expect.poll(calls.begun).toBe(6);
  await expect.poll(calls.open, { timeout: 10_000 }).toBe(1);
  expect(sockets[0]?.closed).toBe(false);
});

it("a connection with pipelined requests counts as idle only after the last response", async () => {
  const calls = answering();
  const started = await listen({ maxConnections: MOST, graceMs: 0, routes: calls.routes, findGrant: grants });
  ({ app } = started);
  const pipelined = await get(started.port, "/healthz", "a", "/follow");
  sockets.push(pipelined);
  let answer = "";
  pipelined.setEncoding("utf8").on("data", (text) => {
    answer += text;
  });
  pipelined.resume();
  await expect.poll(() => answer).toContain("followed");
  const others = sockets.length;
  await openSlow(started.port, "nothing", 5 * MOST);
  await expect.poll(() => sockets.slice(others).filter((socket) => !socket.closed).length).toBeLessThan(MOST);
  expect(pipelined.closed).toBe(false);
});
