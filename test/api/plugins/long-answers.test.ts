/** How many long answers a token may have under way: then 429 for more of them, and for nothing else. */
import type { Socket } from "node:net";
import { promisify } from "node:util";
import Fastify, { type FastifyInstance } from "fastify";
import { afterEach, beforeEach, expect, it } from "vitest";
import { runLogRoutes } from "../../../src/api/routes/run-log.ts";
import type { ApiSettings } from "../../../src/api/settings.ts";
import type { Infra } from "../../../src/infra.ts";
import { answering, get, grants } from "../../support/long-calls.ts";
import { listen } from "../../support/tiny-api.ts";

const MOST = 4;
const calls = answering();
const found = Promise.withResolvers<void>();
let app: FastifyInstance;
let port: number;
let sockets: Socket[];
let asked: string[];
beforeEach(async () => {
  sockets = [];
  asked = [];
  const findGrant = async (token: string) => {
    asked.push(token);
    if (token === "gone") await found.promise;
    return grants(token);
  };
  ({ app, port } = await listen({ maxConnections: 10, routes: calls.routes, findGrant }));
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await app.close();
});

const ask = async (path: string, token: string) => {
  const controller = new AbortController();
  const { signal } = controller;
  const headers = { authorization: `Bearer ${token}`, connection: "close" };
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers, signal });
  const body = answer.status === 429 ? await answer.json() : undefined;
  controller.abort();
  return { status: answer.status, retryAfter: answer.headers.get("retry-after"), body };
};

it("may together take two fifths of the connections, followers and waits alike", async () => {
  for (const path of ["/follow", "/wait?wait=5", "/follow", "/wait?wait=5"]) {
    sockets.push(await get(port, path, "a"));
  }
  await expect.poll(calls.open).toBe(MOST);
  for (const path of ["/follow", "/wait?wait=5"]) {
    expect(await ask(path, "a")).toMatchObject({
      status: 429,
      retryAfter: "5",
      body: { code: "rate_limited", detail: expect.stringContaining(`${MOST} calls in progress`) },
    });
  }
  expect(await ask("/wait", "a")).toMatchObject({ status: 200 });
  expect(await ask("/follow", "b")).toMatchObject({ status: 200 });
  sockets[0]?.destroy();
  await expect.poll(calls.open).toBe(MOST - 1);
  expect(await ask("/follow", "a")).toMatchObject({ status: 200 });
});

it("are no longer counted after the client has disconnected, even before its call was accepted", async () => {
  for (let i = 0; i < MOST; i++) sockets.push(await get(port, "/follow", "gone"));
  await expect.poll(() => asked.length).toBe(MOST);
  for (const socket of sockets) socket.destroy();
  await expect.poll(() => promisify(app.server.getConnections.bind(app.server))()).toBe(0);
  found.resolve();
  expect(await ask("/follow", "gone")).toMatchObject({ status: 200 });
  const pipelined = await get(port, "/follow", "b", "/follow", "/follow", "/follow");
  await expect.poll(() => ask("/follow", "b")).toMatchObject({ status: 429 });
  pipelined.destroy();
  await expect.poll(() => ask("/follow", "b")).toMatchObject({ status: 200 });
});

it("include reads of logs", async () => {
  const long: (boolean | undefined)[] = [];
  const routes = Fastify().addHook("onRoute", ({ config }) => void long.push(config?.long));
  await routes.register(runLogRoutes({} as Infra, {} as ApiSettings));
  expect(new Set(long)).toEqual(new Set([true]));
});
