/** Tests that no notation, name, redirect or scheme leads a webhook to an address that is not allowed. */
import type { LookupAddress } from "node:dns";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createAddressGuard, type Resolve } from "../../src/deliveries/address-guard.ts";
import { createSender } from "../../src/deliveries/post-webhook.ts";
import { HOSTS, hosts, URLS } from "../support/hostile-addresses.ts";
import { answer, inTurn, startSink } from "../support/http-sink.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const LOOPBACK: LookupAddress = { address: "127.0.0.1", family: 4 };

/** The number of connections to the trap, which listens on every IPv4 and IPv6 address of this machine. */
let connections = 0;
let port = 0;
const trap = createServer((socket) => {
  connections++;
  socket.on("error", () => {}).end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
});
beforeAll(async () => {
  await once(trap.listen(0), "listening");
  ({ port } = trap.address() as AddressInfo);
});
afterEach(() => {
  connections = 0;
});
afterAll(() => void trap.close());

/** A sender that may call these addresses and resolves every name to the loopback address. */
function sender(opened: string[] = [], resolve: Resolve = async () => [LOOPBACK]) {
  const send = createSender({
    guard: createAddressGuard(opened, resolve),
    timeoutMs: 2_000,
    userAgent: "test",
  });
  return (url: string) => send({ url, body: "{}" });
}
const send = sender();

it("has at least 70 notations to try", () => {
  expect(new Set([...hosts.map(({ host }) => host), ...URLS]).size).toBeGreaterThanOrEqual(70);
});

describe("with no range allowed", () => {
  it.each(hosts)("$host ($kind) is refused, and nothing connects", async ({ host }) => {
    const error = expect.stringContaining("WEBHOOK_ALLOW_CIDR");
    for (const scheme of ["http", "https"]) {
      expect(await send(`${scheme}://${host}:${port}/`)).toMatchObject({ outcome: "blocked", error });
    }
    expect(connections).toBe(0);
  });

  it.each(URLS)("%j is refused, and nothing connects", async (url) => {
    expect(await send(url.replace("PORT", String(port)))).toMatchObject({ outcome: "blocked" });
    expect(connections).toBe(0);
  });

  it("never connects to a unix socket, in any notation of its path", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "sock");
    let reached = 0;
    const server = createServer((socket) => {
      reached++;
      socket.destroy();
    }).listen(path);
    await once(server, "listening");
    // got treats the host name `unix` as a socket.
    for (const url of [
      `http://unix${path}:/`,
      `http://unix:80${path}:/`,
      `http://unix.${path}:/`,
      `unix:${path}:/`,
    ]) {
      expect(await sender(["127.0.0.1/32"])(url)).toMatchObject({
        outcome: expect.stringMatching(/failed|blocked/),
      });
    }
    server.close();
    expect([reached, connections]).toEqual([0, 0]);
  });
});

describe("with one address allowed", () => {
  it.each(HOSTS["127.0.0.1"].split(/\s+/))("calls it in the notation %s", async (host) => {
    const result = await sender(["127.0.0.1/32"])(`http://${host}:${port}/`);
    expect(result).toMatchObject({ outcome: "answered", status: 200 });
    expect(connections).toBe(1);
  });

  it.each(
    `127.0.0.0 127.0.0.2 127.0.1.1 0.0.0.0 [::1] [::] [::7f00:1] [::ffff:7f00:2]
    [::ffff:0:7f00:1] [64:ff9b::7f00:1] [2002:7f00:1::]`.split(/\s+/),
  )("still refuses the address %s", async (host) => {
    const result = await sender(["127.0.0.1/32"])(`http://${host}:${port}/`);
    expect(result).toMatchObject({ outcome: "blocked" });
    expect(connections).toBe(0);
  });

  it.each(["user:secret@", "user@", ":secret@", "example.org@", "@example.org:1@"])(
    "refuses http://%s127.0.0.1, because a URL is stored and shown",
    async (userinfo) => {
      const result = await sender(["127.0.0.1/32"])(`http://${userinfo}127.0.0.1:${port}/`);
      expect(result).toMatchObject({ outcome: "blocked", error: expect.stringContaining("credentials") });
      expect(connections).toBe(0);
    },
  );
});

describe("a name", () => {
  const family = (address: string) => ({ address, family: address.includes(":") ? 6 : 4 });
  const named = (opened: string[], ...answers: string[][]) => {
    const lookups: string[] = [];
    const resolve: Resolve = async (host) => (answers[lookups.push(host) - 1] ?? []).map(family);
    return { lookups, toName: sender(opened, resolve) };
  };

  it.each(
    `127.0.0.1 127.0.0.2 0.0.0.0 10.0.0.1 100.64.0.1 169.254.169.254 192.168.0.1 :: ::1 ::7f00:1 ::127.0.0.1
    ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 2002:7f00:1:: 2001:0:7f00:1::
    fe80::1 fe80::1%lo ::1%lo fd00::1 127.1 0x7f000001 2130706433 localhost`.split(/\s+/),
  )("that resolves to %s is refused", async (address) => {
    const result = await named([], [address]).toName(`http://a.example:${port}/`);
    expect(result).toMatchObject({
      outcome: "blocked",
      error: expect.stringContaining(`a.example (${address})`),
    });
    expect(connections).toBe(0);
  });

  it("that has no address is refused", async () => {
    expect(await named([], []).toName(`http://a.example:${port}/`)).toMatchObject({ outcome: "blocked" });
  });

  // 127.0.0.3 stands for a public address on which nothing listens.
  it.each([
    [["127.0.0.1", "127.0.0.3"]],
    [["127.0.0.3", "127.0.0.1"]],
    [["::1", "::ffff:127.0.0.1", "127.0.0.3", "127.0.0.1", "10.0.0.1"]],
  ])("that resolves to %j is called only at the allowed address", async (answers) => {
    await using sink = await startSink();
    const result = await named(["127.0.0.3/32"], answers).toName(`http://mixed.example:${sink.port}/`);
    expect(result).toMatchObject({ outcome: "failed", error: expect.not.stringContaining("127.0.0.1") });
    expect(sink.connections).toBe(0);
  });

  it("with allowed and refused addresses is called at an allowed one", async () => {
    await using sink = await startSink();
    const { toName } = named(["127.0.0.1/32"], ["127.0.0.2", "127.0.0.1", "::1"]);
    expect(await toName(`http://mixed.example:${sink.port}/`)).toMatchObject({
      outcome: "answered",
      status: 200,
    });
  });

  it("that is rebound between check and connection is resolved once, and called at the checked address", async () => {
    await using sink = await startSink();
    const { lookups, toName } = named(["127.0.0.3/32"], ["127.0.0.3"], ["127.0.0.1"], ["127.0.0.1"]);
    expect(await toName(`http://rebound.example:${sink.port}/`)).toMatchObject({ outcome: "failed" });
    expect(lookups).toEqual(["rebound.example"]);
    expect(sink.connections).toBe(0);
  });

  it("that is rebound after a delivery is refused at the next connection", async () => {
    const closing = answer(200, "", { connection: "close" });
    await using sink = await startSink(inTurn(closing, answer(500)));
    const { toName } = named(["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]);
    const url = `http://rebound.example:${sink.port}/`;
    expect(await toName(url)).toMatchObject({ outcome: "answered", status: 200 });
    const error = expect.stringMatching(/rebound\.example \(127\.0\.0\.2\).*WEBHOOK_ALLOW_CIDR/);
    expect(await toName(url)).toMatchObject({ outcome: "blocked", error });
    expect(sink.connections).toBe(1);
  });

  it("that is rebound while a connection is kept is called at the checked address, on that connection", async () => {
    await using sink = await startSink();
    const { lookups, toName } = named(["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]);
    const url = `http://rebound.example:${sink.port}/`;
    for (let count = 0; count < 2; count++)
      expect(await toName(url)).toMatchObject({ outcome: "answered", status: 200 });
    expect(lookups).toEqual(["rebound.example"]);
    expect(sink.connections).toBe(1);
  });
});

describe("a redirect", () => {
  const LOCATIONS = [
    ...[
      "http://127.0.0.1:PORT/",
      "https://127.0.0.1:PORT/",
      "//127.0.0.1:PORT/",
      "http://[::1]:PORT/",
      "/again",
    ],
    ...["http://0x7f.1:PORT/", "http://a.example:PORT/", "http://169.254.169.254/latest/meta-data/", "?"],
    ...[
      "file:///etc/passwd",
      "ftp://127.0.0.1:PORT/",
      "gopher://127.0.0.1:PORT/",
      "unix:/run/docker.sock:/",
      "data:,x",
    ],
  ];

  it.each([300, 301, 302, 303, 305, 307, 308])(
    "of %i counts as an answer and is not followed",
    async (status) => {
      for (const location of LOCATIONS) {
        await using sink = await startSink(
          answer(status, "", { location: location.replace("PORT", String(port)) }),
        );
        const result = await sender(["127.0.0.1/32"])(sink.url());
        expect(result).toMatchObject({ outcome: "answered", status });
        expect([sink.connections, connections]).toEqual([1, 0]);
      }
    },
  );

  it("in another header is not followed", async () => {
    const headers = {
      refresh: `0; url=http://127.0.0.1:${port}/`,
      "content-location": `http://127.0.0.1:${port}/`,
    };
    await using sink = await startSink(
      answer(200, "", { ...headers, location: `http://127.0.0.1:${port}/` }),
    );
    expect(await sender(["127.0.0.1/32"])(sink.url())).toMatchObject({ outcome: "answered", status: 200 });
    expect(connections).toBe(0);
  });
});
