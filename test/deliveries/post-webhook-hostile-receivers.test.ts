/** Whatever a receiver does, sending ends with a result in bounded time and memory, and closes the connection. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { createAddressGuard } from "../../src/deliveries/address-guard.ts";
import { createSender, type SendResult } from "../../src/deliveries/post-webhook.ts";
import type { Run } from "../support/api-client.ts";
import { answer, inTurn, startSink } from "../support/http-sink.ts";
import { startTestService } from "../support/test-service.ts";

const MIB = 1024 * 1024;
const TIMEOUT_MS = 400;
const OUT_OF_TIME = "no answer within 0.4 s";
const guard = createAddressGuard(["127.0.0.1/32"]);
/** Its timeout is longer than a test: the request must end for another reason. */
const patient = createSender({ guard, timeoutMs: 60_000, userAgent: "test" });
const impatient = createSender({ guard, timeoutMs: TIMEOUT_MS, userAgent: "test" });

interface Outcome {
  result: SendResult;
  /** Bytes that the receiver could send; its socket buffers a few MiB more. */
  written: number;
  /** Growth of this process, which holds both sides of the connection. */
  grownBytes: number;
}

/** Sends to a TCP server with the given behaviour; resolves when both sides have closed the socket. */
async function sendTo(
  receive: (socket: Socket) => void,
  { send = patient, body = "{}", scheme = "http" } = {},
): Promise<Outcome> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("data", () => receive(socket));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const before = process.memoryUsage.rss();
  const result = await send({ url: `${scheme}://127.0.0.1:${port}/`, body });
  const grownBytes = process.memoryUsage.rss() - before;
  // A receiver that does not read would not notice that the connection is closed.
  for (const socket of sockets) socket.resume();
  await new Promise((resolve) => server.close(resolve));
  expect(sockets).toHaveLength(1);
  return { result, written: sockets[0]?.bytesWritten ?? 0, grownBytes };
}

/** Writes a start, then the same part up to `times` times, as fast as it is read. */
function flood(beginning: string, part: string | Buffer, times: number) {
  const bytes = Buffer.from(part);
  return (socket: Socket) => {
    let left = times;
    socket.write(beginning);
    const more = () => {
      while (!socket.destroyed && left-- > 0) if (!socket.write(bytes)) return;
      if (left < 0) socket.end();
    };
    socket.on("drain", more);
    more();
  };
}

/** Writes a text one character at a time, endlessly. */
function drip(beginning: string, character = "x") {
  return (socket: Socket) => {
    socket.write(beginning);
    const timer = setInterval(() => socket.write(character), 5);
    socket.on("close", () => clearInterval(timer));
  };
}

const sends = (text: string | Buffer) => (socket: Socket) => void socket.write(text);
const OK = "HTTP/1.1 200 OK\r\n";
const EARLY_HINTS = "HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n";
const BOMB = gzipSync(Buffer.alloc(60 * MIB), { level: 9 });
const X_64K = "x".repeat(64 * 1024);

describe("memory stays bounded", () => {
  it.each([
    ["200 MB with their length", flood(`${OK}content-length: 209715200\r\n\r\n`, X_64K, 3_200)],
    ["200 MB in chunks", flood(`${OK}transfer-encoding: chunked\r\n\r\n`, `10000\r\n${X_64K}\r\n`, 3_200)],
    ["200 MB up to the end of the connection", flood(`${OK}\r\n`, X_64K, 3_200)],
  ])("when a body of %s is read up to about 64 KiB", async (_what, receive) => {
    const { result, written, grownBytes } = await sendTo(receive);
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: "x".repeat(2_048) });
    expect(written).toBeLessThan(20 * MIB);
    expect(grownBytes).toBeLessThan(64 * MIB);
  });

  it.each([
    ["headers", flood(OK, "x: y\r\n".repeat(10_000), 3_200), /Header overflow/],
    ["one header", flood(`${OK}x: `, X_64K, 3_200), /Header overflow/],
    ["the name of a header", flood(OK, X_64K, 3_200), /Header overflow/],
    ["a reason", flood("HTTP/1.1 200 ", X_64K, 3_200), /Header overflow/],
    ["blank lines", flood("", "\r\n".repeat(32_000), 3_200), /more than 256 KiB without an answer/],
    ["interim answers", flood("", EARLY_HINTS.repeat(2_000), 3_200), /more than 256 KiB without an answer/],
  ])("when a flood of %s is aborted", async (_what, receive, error) => {
    const { result, grownBytes } = await sendTo(receive);
    expect(result).toMatchObject({ outcome: "failed", error: expect.stringMatching(error) });
    expect(grownBytes).toBeLessThan(64 * MIB);
  });

  it.each([
    ["trailers", "0\r\n", "x: y\r\n".repeat(10_000)],
    ["an extension of a chunk", "1;x=", X_64K],
    ["digits of a chunk's size", "0", "0".repeat(64 * 1024)],
  ])("when a flood of %s after the status is aborted", async (_what, beginning, part) => {
    const head = `${OK}transfer-encoding: chunked\r\n\r\n${beginning}`;
    const { result, grownBytes } = await sendTo(flood(head, part, 3_200));
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: "" });
    expect(grownBytes).toBeLessThan(64 * MIB);
  });

  it.each(["gzip", "x-gzip", "deflate", "gzip, gzip", "br", "zstd"])(
    "when a compression bomb in %s is not unpacked",
    async (coding) => {
      const bomb = gzipSync(Buffer.alloc(60 * MIB), { level: 9 });
      const head = `${OK}content-encoding: ${coding}\r\ncontent-length: ${bomb.length}\r\n\r\n`;
      const { result, grownBytes } = await sendTo(sends(Buffer.concat([Buffer.from(head), BOMB])));
      expect(result).toMatchObject({ outcome: "answered", status: 200 });
      // It is stored as received: the first bytes of a gzip file, the second of which is not UTF-8.
      expect(result).toHaveProperty("response", expect.stringContaining("\x1f\uFFFD\x08"));
      expect(grownBytes).toBeLessThan(32 * MIB);
    },
  );
});

describe("time stays bounded", () => {
  it.each([
    ["nothing", () => {}, {}],
    ["a status line, drop by drop", drip("HTTP/1.1 200 "), {}],
    ["a header, drop by drop", drip(`${OK}x: `), {}],
    ["half a header block", sends(`${OK}x: y\r\n`), {}],
    ["interim responses, one after the other", drip("", "HTTP/1.1 100 Continue\r\n\r\n"), {}],
    ["nothing, where TLS should be", () => {}, { scheme: "https" }],
    [
      "nothing, and it does not read",
      (socket: Socket) => void socket.pause(),
      { body: "x".repeat(20_000_000) },
    ],
  ])("for a receiver that sends %s", async (_what, receive, how) => {
    const { result } = await sendTo(receive, { ...how, send: impatient });
    expect(result).toMatchObject({ outcome: "failed", error: OUT_OF_TIME });
    expect(result.durationMs).toBeLessThan(10 * TIMEOUT_MS);
  });

  it.each([
    ["a body, drop by drop", drip(`${OK}\r\nx`), "x"],
    ["half a body", sends(`${OK}content-length: 9\r\n\r\nx`), "x"],
    ["no body although it announced one", sends(`${OK}content-length: 9\r\n\r\n`), ""],
  ])("for a receiver that sends %s after its status, which counts", async (_what, receive, response) => {
    const { result } = await sendTo(receive, { send: impatient });
    const text = expect.stringMatching(new RegExp(`^${response}`));
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: text });
    expect(result.durationMs).toBeLessThan(10 * TIMEOUT_MS);
  });
});

describe("an invalid answer", () => {
  it.each([
    ["another protocol", sends("220 mail ESMTP\r\n"), /Parse Error/],
    [
      "a wish to switch protocols",
      sends(`HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n`),
      /switched/,
    ],
    ["a negative length", sends(`${OK}content-length: -1\r\n\r\n`), /Parse Error/],
    ["two lengths", sends(`${OK}content-length: 1\r\ncontent-length: 2\r\n\r\n`), /Parse Error/],
    [
      "a length beside chunks",
      sends(`${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`),
      /Parse Error/,
    ],
    ["NUL in a header", sends(`${OK}x: a\0b\r\n\r\n`), /Parse Error/],
    ["zeros", sends(Buffer.alloc(100)), /Parse Error/],
    ["a closed connection", (socket: Socket) => void socket.end(), /socket hang up/],
    ["a reset", (socket: Socket) => void socket.resetAndDestroy(), /ECONNRESET|socket hang up/],
  ])("counts %s as a failure", async (_what, receive, error) => {
    const { result } = await sendTo(receive);
    expect(result).toMatchObject({ outcome: "failed", error: expect.stringMatching(error) });
  });

  it("reports a TLS error in short, printable text, whatever the certificate contains", async () => {
    const { result } = await sendTo((socket) => void socket.end("\x15\x03\x03\x00\x02\x02\x28"), {
      scheme: "https",
    });
    expect(result).toMatchObject({ outcome: "failed", error: expect.stringMatching(/^[\x20-\x7e]{1,500}$/) });
  });
});

describe("an answer", () => {
  it("with a truncated body still counts", async () => {
    const { result } = await sendTo((socket) => void socket.end(`${OK}content-length: 9\r\n\r\nabc`));
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: "abc" });
  });

  it("that arrives before the request body was read still counts", async () => {
    const early = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
    const { result } = await sendTo((socket) => void socket.end(early), { body: "x".repeat(5_000_000) });
    expect(result).toMatchObject({ outcome: "answered", status: 413, response: "no" });
  });

  it("of more than 64 KiB is not read to its end", async () => {
    const { result } = await sendTo(sends(`${OK}content-length: 102400\r\n\r\n${X_64K}x`));
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: "x".repeat(2_048) });
  });

  it("counts alone when another one follows it", async () => {
    const { result } = await sendTo(
      sends(`${OK}content-length: 1\r\n\r\naHTTP/1.1 500 No\r\ncontent-length: 1\r\n\r\nb`),
    );
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: "a" });
  });
});

it("ignores Retry-After, whether it is years, a date, negative or nonsense", async () => {
  const values = [
    "315360000",
    "9".repeat(400),
    "Sun, 06 Nov 2094 08:49:37 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
  ];
  values.push("-1", "0", "1e9", "NaN", "soon", "");
  const busy = values.map((value, index) =>
    answer([429, 503][index % 2] ?? 503, "", { "retry-after": value }),
  );
  await using sink = await startSink(inTurn(answer(503), ...busy, answer(204)));
  await using service = await startTestService({}, { deliveryDelaysMs: [0, ...values.map(() => 1), 1] });
  await service.client.putJob("job", { command: "true", on_success: { notify_webhook: [sink.url()] } });
  const run = await service.client.trigger("job", undefined, "30s");
  const delivery = async (): Promise<Run["deliveries"][number] | undefined> =>
    (await service.client.run(run.id)).deliveries[0];
  await expect.poll(async () => (await delivery())?.state, { timeout: 15_000 }).toBe("delivered");
  expect((await delivery())?.tries).toHaveLength(values.length + 2);
});
