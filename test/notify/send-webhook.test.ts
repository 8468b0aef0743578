/** Whatever a receiver does, sending ends with a result, in bounded time and memory. */
import type { LookupAddress } from "node:dns";
import { once } from "node:events";
import { setGlobalProxyFromEnv } from "node:http";
import { createServer, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { createAddressGuard, type Resolve } from "../../src/notify/address-guard.ts";
import { createSender } from "../../src/notify/send-webhook.ts";
import { answer, drop, type Handler, hang, inTurn, startSink } from "../support/http-sink.ts";

const guard = createAddressGuard(["127.0.0.1/32"]);
const send = createSender({ guard, userAgent: "Carillon/test" });
const impatient = createSender({ guard, timeoutMs: 500, userAgent: "Carillon/test" });

/** Sends to a TCP server that does as it likes with the socket. */
async function sendToSocket(onRequest: (socket: Socket) => void, body = "{}", sendBy = send) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => onRequest(socket));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as { port: number };
  try {
    return await sendBy({ url: `http://127.0.0.1:${port}/`, body });
  } finally {
    // Ends only when the sender has let go of its connection.
    await new Promise((resolve) => server.close(resolve));
  }
}

describe("what the receiver gets", () => {
  it("is one POST of the body as JSON, with the caller's headers and nothing remembered", async () => {
    await using sink = await startSink(answer(200, "thanks", { "set-cookie": "a=b" }));
    const headers = { "webhook-id": "d1", Authorization: "Bearer x" };
    const result = await send({ url: sink.url("/hook?a=1"), headers, body: '{"name":"é"}' });
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: "thanks" });
    await send({ url: sink.url("/hook?a=1"), headers, body: "{}" });
    const [first, second] = await sink.waitFor(2);
    expect(first).toMatchObject({ method: "POST", path: "/hook?a=1", body: '{"name":"é"}' });
    expect(second?.headers).toEqual({
      host: `127.0.0.1:${sink.port}`,
      "content-type": "application/json",
      "content-length": "2",
      "user-agent": "Carillon/test",
      "webhook-id": "d1",
      authorization: "Bearer x",
      connection: "close",
    });
  });

  it("does not pass through a proxy of the environment", async () => {
    await using sink = await startSink();
    await using proxy = await startSink();
    const restore = setGlobalProxyFromEnv({ http_proxy: proxy.url() });
    const result = await send({ url: sink.url(), body: "{}" });
    restore();
    expect(result).toMatchObject({ outcome: "answered", status: 200 });
    expect([sink.connections, proxy.connections]).toEqual([1, 0]);
  });
});

describe("an answer", () => {
  it.each([204, 400, 410, 500, 503])("of %i is told as it is, and not retried", async (status) => {
    await using sink = await startSink(answer(status, "", { "retry-after": "0" }));
    expect(await send({ url: sink.url(), body: "{}" })).toMatchObject({ outcome: "answered", status });
    expect(sink.received).toHaveLength(1);
  });

  it.each([301, 302, 303, 307, 308])("of %i is not followed", async (status) => {
    await using other = await startSink();
    await using sink = await startSink(answer(status, "", { location: other.url("/elsewhere") }));
    expect(await send({ url: sink.url(), body: "{}" })).toMatchObject({ outcome: "answered", status });
    expect(other.connections).toBe(0);
  });

  it.each([
    ["a", "é".repeat(2_000), "é".repeat(1_024)],
    ["a cut character left out", `a${"é".repeat(2_000)}`, `a${"é".repeat(1_023)}`],
    ["a cut emoji left out", `abc${"🔔".repeat(600)}`, `abc${"🔔".repeat(511)}`],
    ["NUL made readable", "a\0b", "a\uFFFDb"],
  ])("is kept to 2 KiB: %s", async (_what, body, response) => {
    await using sink = await startSink(answer(200, body));
    expect(await send({ url: sink.url(), body: "{}" })).toMatchObject({ outcome: "answered", response });
  });

  it("in no known character set becomes text all the same", async () => {
    await using sink = await startSink((_request, response) => void response.end(Buffer.alloc(3_000, 0x80)));
    const result = await send({ url: sink.url(), body: "{}" });
    expect(result).toMatchObject({ response: expect.stringMatching(/^\uFFFD{2045,2048}$/) });
  });

  it("that claims to be compressed is not unpacked", async () => {
    await using sink = await startSink(answer(200, "plain", { "content-encoding": "gzip" }));
    expect(await send({ url: sink.url(), body: "{}" })).toMatchObject({ status: 200, response: "plain" });
  });

  it("of any size is read to about 64 KiB, and the connection dropped", async () => {
    const MEBIBYTE = Buffer.alloc(1024 * 1024, "x");
    let written = 0;
    const hugeThenClosed = Promise.withResolvers<void>();
    await using sink = await startSink((_request, response) => {
      response.on("close", hugeThenClosed.resolve);
      const more = () => {
        while (!response.destroyed && written < 200) {
          written++;
          if (!response.write(MEBIBYTE)) return;
        }
      };
      response.on("drain", more);
      more();
    });
    const result = await send({ url: sink.url(), body: "{}" });
    await hugeThenClosed.promise;
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: "x".repeat(2_048) });
    expect(written).toBeLessThan(20);
  });

  it("that drips for ever still counts, when the time is over", async () => {
    await using sink = await startSink((_request, response) => {
      response.write(".");
      const drip = setInterval(() => response.write("."), 20);
      response.on("close", () => clearInterval(drip));
    });
    const result = await impatient({ url: sink.url(), body: "{}" });
    expect(result).toMatchObject({
      outcome: "answered",
      status: 200,
      response: expect.stringMatching(/^\.+$/),
    });
  });

  it("whose body breaks off still counts", async () => {
    const result = await sendToSocket((socket) =>
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"),
    );
    expect(result).toMatchObject({ outcome: "answered", status: 200, response: "abc" });
  });

  it("before the body was read still counts", async () => {
    const early = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
    const result = await sendToSocket((socket) => socket.end(early), "x".repeat(5_000_000));
    expect(result).toMatchObject({ outcome: "answered", status: 413, response: "no" });
  });
});

describe("a failure", () => {
  it.each<[string, Handler, string]>([
    ["a receiver that hangs", hang, "no answer within 0.5 s"],
    ["a receiver that hangs up", drop, "socket hang up"],
  ])("%s", async (_what, handler, error) => {
    await using sink = await startSink(handler);
    expect(await impatient({ url: sink.url(), body: "{}" })).toMatchObject({ outcome: "failed", error });
  });

  it.each([
    ["another protocol", "220 mail ESMTP\r\n", /Parse Error/],
    ["endless headers", `HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(20_000)}`, /Header overflow/],
    ["101", "HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", /switched protocols/],
  ])("a receiver that says %s", async (_what, text, error) => {
    const result = await sendToSocket((socket) => socket.write(text));
    expect(result).toMatchObject({ outcome: "failed", error: expect.stringMatching(error) });
  });

  it("a receiver that says only 1xx", async () => {
    const text = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
    const result = await sendToSocket((socket) => socket.write(text), "{}", impatient);
    expect(result).toMatchObject({ outcome: "failed", error: "no answer within 0.5 s" });
  });

  it("a closed port, a name that does not exist, TLS where there is none, a header that cannot be sent", async () => {
    const gone = await startSink();
    await gone[Symbol.asyncDispose]();
    await using sink = await startSink();
    const failed = (error: RegExp) => ({ outcome: "failed", error: expect.stringMatching(error) });
    const to = (url: string, headers = {}) => send({ url, headers, body: "{}" });
    expect(await to(gone.url())).toMatchObject(failed(/ECONNREFUSED/));
    expect(await to("http://no.such.name.invalid/")).toMatchObject(failed(/no\.such\.name\.invalid/));
    expect(await to(sink.url().replace("http", "https"))).toMatchObject(failed(/^TLS: [a-z ]+$/));
    expect(await to(sink.url(), { "x-a": "b\r\nx-c: d" })).toMatchObject(failed(/Invalid character/));
    expect(sink.received).toEqual([]);
  });

  it("a shutdown in the middle, and one before", async () => {
    await using sink = await startSink(hang);
    const shutdown = new AbortController();
    const pending = send({ url: sink.url(), body: "{}", signal: shutdown.signal });
    await sink.next();
    shutdown.abort();
    const aborted = { outcome: "failed", error: "This operation was aborted" };
    expect(await pending).toMatchObject(aborted);
    expect(await send({ url: sink.url(), body: "{}", signal: shutdown.signal })).toMatchObject(aborted);
    expect(sink.connections).toBe(1);
  });
});

describe("a name", () => {
  const opened = { address: "127.0.0.1", family: 4 };
  const refused = { address: "127.0.0.2", family: 4 };

  /** A resolver that gives another list of answers each time it is asked. */
  function rebinding(...answers: LookupAddress[][]) {
    const asked: string[] = [];
    const resolve: Resolve = async (host) => answers[asked.push(host) - 1] ?? [];
    const toName = createSender({ guard: createAddressGuard([opened.address], resolve), userAgent: "test" });
    return { asked, toName };
  }

  it("that is rebound after the check is connected to as it was checked, and refused the next time", async () => {
    await using sink = await startSink(inTurn(answer(200), answer(500)));
    const { asked, toName } = rebinding([opened], [refused]);
    const hook = { url: `http://rebound.example:${sink.port}/`, body: "{}" };
    expect(await toName(hook)).toMatchObject({ outcome: "answered", status: 200 });
    expect(asked).toEqual(["rebound.example"]);
    const error = expect.stringMatching(/rebound\.example \(127\.0\.0\.2\).*WEBHOOK_ALLOW_CIDR/);
    expect(await toName(hook)).toMatchObject({ outcome: "blocked", error });
    expect(sink.connections).toBe(1);
  });

  it("with allowed and refused addresses reaches an allowed one", async () => {
    await using sink = await startSink();
    const { toName } = rebinding([refused, opened, refused]);
    const result = await toName({ url: `http://mixed.example:${sink.port}/`, body: "{}" });
    expect(result).toMatchObject({ outcome: "answered", status: 200 });
  });
});
