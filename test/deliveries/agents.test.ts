/** Tests of connections that are kept for the next webhook: reused, not for long, and replaced when they are stale. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { createAddressGuard } from "../../src/deliveries/address-guard.ts";
import { createSender } from "../../src/deliveries/post-webhook.ts";
import { answer, startSink } from "../support/http-sink.ts";

const guard = createAddressGuard(["127.0.0.0/8"]);
const createTestSender = () => createSender({ guard, userAgent: "Carillon/test" });
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/** A server that does this with the nth request of all; the requests are short, so each comes in one piece. */
async function startRawServer(onRequest: (number: number, socket: Socket) => void) {
  let requests = 0;
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      if (bytes.includes("POST ")) onRequest(++requests, socket);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    ...{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, sockets },
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

it("uses one connection for webhooks to one host, and another one for another host", async () => {
  const send = createTestSender();
  await using sink = await startSink(answer(200, "thanks"));
  await using other = await startSink();
  for (const url of [sink.url("/a"), sink.url("/b"), other.url(), sink.url("/c")])
    expect(await send({ url, body: "{}" })).toMatchObject({ outcome: "answered", status: 200 });
  expect([sink.connections, other.connections]).toEqual([1, 1]);
});

it("closes an idle connection by itself", async () => {
  const send = createTestSender();
  await using server = await startRawServer((_number, socket) => void socket.write(OK));
  await send({ url: server.url, body: "{}" });
  const [socket] = server.sockets;
  if (socket === undefined) throw new Error("there is no connection");
  await once(socket, "end", { signal: AbortSignal.timeout(10_000) });
  expect(await send({ url: server.url, body: "{}" })).toMatchObject({ outcome: "answered" });
  expect(server.sockets).toHaveLength(2);
});

it("sends again, on a new connection, when the receiver resets a kept one", async () => {
  const send = createTestSender();
  await using server = await startRawServer((number, socket) => {
    if (number === 2) socket.resetAndDestroy();
    else socket.write(OK);
  });
  expect(await send({ url: server.url, body: "{}" })).toMatchObject({ outcome: "answered" });
  expect(await send({ url: server.url, body: "{}" })).toMatchObject({ outcome: "answered", status: 200 });
  expect([server.requests(), server.sockets.length]).toEqual([3, 2]);
});

it("fails when a new connection is reset, or a kept one after the start of an answer", async () => {
  const send = createTestSender();
  await using resetting = await startRawServer((_number, socket) => void socket.resetAndDestroy());
  expect(await send({ url: resetting.url, body: "{}" })).toMatchObject({ outcome: "failed" });
  expect(resetting.requests()).toBe(1);
  await using half = await startRawServer((number, socket) => {
    socket.write(number === 1 ? OK : "HTTP/1.1 2");
    if (number > 1) setImmediate(() => socket.end());
  });
  expect(await send({ url: half.url, body: "{}" })).toMatchObject({ outcome: "answered" });
  expect(await send({ url: half.url, body: "{}" })).toMatchObject({ outcome: "failed" });
  expect(half.requests()).toBe(2);
});

it("takes no bytes that came before a request for its answer", async () => {
  const send = createTestSender();
  await using server = await startRawServer((number, socket) => {
    socket.write(number === 1 ? `${OK}HTTP/1.1 299 Early\r\ncontent-length: 0\r\n\r\n` : OK);
  });
  expect(await send({ url: server.url, body: "{}" })).toMatchObject({ outcome: "answered", status: 200 });
  expect(await send({ url: server.url, body: "{}" })).toMatchObject({ outcome: "answered", status: 200 });
});

it("counts the bytes of each answer for itself, and leaves no listeners on the connection", async () => {
  const send = createTestSender();
  const warnings: string[] = [];
  const onWarning = ({ name }: Error) => void warnings.push(name);
  process.on("warning", onWarning);
  await using sink = await startSink(answer(200, "x".repeat(60_000)));
  for (let count = 0; count < 15; count++)
    expect(await send({ url: sink.url(), body: "{}" })).toMatchObject({ outcome: "answered", status: 200 });
  process.off("warning", onWarning);
  expect([sink.connections, warnings]).toEqual([1, []]);
});
