/** Tests of what a receiver gets and how its answer is recorded. */
import { setGlobalProxyFromEnv } from "node:http";
import { describe, expect, it } from "vitest";
import { createAddressGuard } from "../../src/deliveries/address-guard.ts";
import { createSender } from "../../src/deliveries/post-webhook.ts";
import { redactionPatterns } from "../../src/text/redaction.ts";
import { answer, drop, type Handler, hang, startSink } from "../support/http-sink.ts";

const guard = createAddressGuard(["127.0.0.1/32"]);
const send = createSender({ guard, userAgent: "Carillon/test" });
const impatient = createSender({ guard, timeoutMs: 500, userAgent: "Carillon/test" });

describe("what the receiver gets", () => {
  it("is one POST of the body as JSON, with the caller's headers and no cookies", async () => {
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
      connection: "keep-alive",
    });
  });

  it("is sent directly, although the environment names a proxy", async () => {
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
  it.each([204, 400, 410, 500, 503])("of %i is reported unchanged, and not retried", async (status) => {
    await using sink = await startSink(answer(status, "", { "retry-after": "0" }));
    expect(await send({ url: sink.url(), body: "{}" })).toMatchObject({ outcome: "answered", status });
    expect(sink.received).toHaveLength(1);
  });

  it.each([
    ["a", "é".repeat(2_000), "é".repeat(1_024)],
    ["a cut character left out", `a${"é".repeat(2_000)}`, `a${"é".repeat(1_023)}`],
    ["a cut emoji left out", `abc${"🔔".repeat(600)}`, `abc${"🔔".repeat(511)}`],
    ["NUL replaced", "a\0b", "a\uFFFDb"],
  ])("is kept to 2 KiB: %s", async (_what, body, response) => {
    await using sink = await startSink(answer(200, body));
    expect(await send({ url: sink.url(), body: "{}" })).toMatchObject({ outcome: "answered", response });
  });

  it.each([0, 2_040])("is redacted before it is cut: a value after %i bytes", async (before) => {
    const secret = `s3cret-${"x".repeat(100)}`;
    await using sink = await startSink(answer(200, `${"é".repeat(before / 2)}${secret.repeat(50)}`));
    const result = await send({ url: sink.url(), body: "{}", hidden: redactionPatterns([secret]) });
    expect(result).toMatchObject({ outcome: "answered", response: expect.not.stringContaining("s3c") });
  });

  it("that is truncated inside a long secret does not show the start of it", async () => {
    const secret = `s3cret-${"x".repeat(30_000)}`;
    await using sink = await startSink(answer(200, secret.repeat(6)));
    const result = await send({ url: sink.url(), body: "{}", hidden: redactionPatterns([secret]) });
    expect(result).toMatchObject({ response: expect.stringMatching(/^(\[redacted\])+$/) });
  });

  it("in an unknown character set still becomes text", async () => {
    await using sink = await startSink((_request, response) => void response.end(Buffer.alloc(3_000, 0x80)));
    const result = await send({ url: sink.url(), body: "{}" });
    expect(result).toMatchObject({ response: expect.stringMatching(/^\uFFFD{2045,2048}$/) });
  });
});

describe("a failure", () => {
  it.each<[string, Handler, string]>([
    ["a receiver that hangs", hang, "no answer within 0.5 s"],
    ["a receiver that hangs up", drop, "socket hang up"],
  ])("is reported for %s", async (_what, handler, error) => {
    await using sink = await startSink(handler);
    expect(await impatient({ url: sink.url(), body: "{}" })).toMatchObject({ outcome: "failed", error });
  });

  it("is reported for a closed port, an unknown name, a port without TLS and an invalid header", async () => {
    const closed = await startSink();
    await closed[Symbol.asyncDispose]();
    await using sink = await startSink();
    const failed = (error: RegExp) => ({ outcome: "failed", error: expect.stringMatching(error) });
    const to = (url: string, headers = {}) => send({ url, headers, body: "{}" });
    expect(await to(closed.url())).toMatchObject(failed(/ECONNREFUSED/));
    expect(await to("http://no.such.name.invalid/")).toMatchObject(failed(/no\.such\.name\.invalid/));
    expect(await to(sink.url().replace("http", "https"))).toMatchObject(failed(/^TLS: [a-z ]+$/));
    expect(await to(sink.url(), { "x-a": "b\r\nx-c: d" })).toMatchObject(failed(/Invalid character/));
    expect(sink.received).toEqual([]);
  });

  it("is reported for a shutdown during the request, and for one before it", async () => {
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
