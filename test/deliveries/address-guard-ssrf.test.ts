/** Tests that no notation, name, redirect or scheme leads a webhook to an address that is not allowed. */
import type { LookupAddress } from "node:dns";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createAddressGuard, type Resolve } from "../../src/deliveries/address-guard.ts";
import { createSender } from "../../src/deliveries/post-webhook.ts";
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

/** Notations of hosts in a URL, by the address that they mean. */
const HOSTS = {
  "127.0.0.1": `127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7F.1 0x7f.0.0.0x1 017700000001 0177.0.0.1 0177.0.0.01
    0177.1 127.0.0.1. 127.0.0.0x1 00000177.0.0.1 1%32%37.0.0.1 127%2e0%2e0%2e1 127。0。0。1 127．0．0．1 127｡0｡0｡1
    １２７.0.0.1 ①②⑦.0.0.1 ¹²⁷.0.0.1 𝟏𝟐𝟕.𝟎.𝟎.𝟏 𝟙𝟚𝟟.0.0.1 0ｘ7f.1 127\u00ad.0.0.1 127.0.0.1\u200b 127.0.\u20600.1`,
  "loopback and unspecified": `127.0.0.2 127.255.255.254 127.127.127.127 0 0.0.0.0 0x0 0x 00 0.1.2.3 [::1]
    [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0.0.0.1] [::] [::0] localhost LOCALHOST ⓛocalhost`,
  "IPv4 in IPv6": `[::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:7F00:1] [0:0:0:0:0:ffff:7f00:0001] [::7f00:1]
    [::127.0.0.1] [0:0:0:0:0:0:127.0.0.1] [::ffff:0:7f00:1] [::ffff:10.0.0.1] [::ffff:a9fe:a9fe] [::ffff:0.0.0.0]
    [::ffff:100.64.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [64:ff9b::8.8.8.8]
    [2002:7f00:1::] [2002:a00:1::1] [2002:0808:0808::] [2001:0:7f00:1::]
    [2001:0:4136:e378:8000:63bf:80ff:fffe] [fe80::5efe:127.0.0.1]`,
  "private and shared": `10.0.0.1 10.255.255.255 0xa000001 012.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1
    192.168.65535 0xc0a80001 100.64.0.1 100.127.255.255 169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376
    169.254.43518 [fd00:ec2::254] [fc00::1] [fe80::1] [febf::1] [fec0::1]`,
  reserved: `192.0.0.1 192.0.0.170 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.1 198.18.0.1
    198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 0xffffffff
    [ff02::1] [2001:db8::1] [3fff::1] [2001:2::1] [2001:3::1] [2001:4:112::1] [2001:10::1] [2001:20::1] [2001:1ff::1]
    [2620:4f:8000::1] [100::1] [5f00::1] [4000::1] [8000::1]`,
  "names of the loopback": `localhost. foo.localhost rebound.example 127.0.0.1.nip.example 127.0.0.1..
    0x7f.1.example xn--hxajbheg2az3al.example 1e9 unix`,
};
const hosts = Object.entries(HOSTS).flatMap(([kind, list]) =>
  list.split(/\s+/).map((host) => ({ host, kind })),
);
/** Other URLs that mislead a reader or another parser. */
const URLS = [
  ...["http:127.0.0.1:PORT", "http:/127.0.0.1:PORT", "http:\\\\127.0.0.1:PORT", "https:///127.0.0.1:PORT/"],
  ...[
    "HTTP://127.0.0.1:PORT",
    " http://127.0.0.1:PORT",
    "ht\ntp://127.0.0.1:PORT",
    "http://127.0.\t0.1:PORT",
  ],
  ...["http://example.org@127.0.0.1:PORT/", "http://user:secret@127.0.0.1:PORT/", "http://:@127.0.0.1:PORT/"],
  ...[
    "http://127.0.0.1:PORT@example.org/",
    "http://1.1.1.1&@127.0.0.1:PORT#@example.org/",
    "http://@127.0.0.1:PORT",
  ],
  ...[
    "http://127.0.0.1:PORT\\@example.org/",
    "http://example.org\\@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT#.org",
  ],
  ...[
    "http://127.0.0.1:PORT?.example.org",
    "http://127.0.0.1%00.example.org:PORT/",
    "http://[::1%25lo]:PORT/",
  ],
  ...[
    "http://[::1%lo]:PORT/",
    "http://[fe80::1%251]:PORT/",
    "http://[::ffff:127.0.0.1.]:PORT/",
    "http://256.1:PORT/",
  ],
  ...["http://١٢٧.٠.٠.١:PORT/", "http://127.0.0.1:65536/", "http://127.0.0.1:0/", "http://127.0.0.1:22/"],
  ...["http://127.0.0.1:00PORT/", "http://[127.0.0.1]:PORT/", "//127.0.0.1:PORT/", "127.0.0.1:PORT", ""],
  ...[
    "ftp",
    "file",
    "gopher",
    "dict",
    "ldap",
    "sftp",
    "tftp",
    "ws",
    "wss",
    "jar:http",
    "view-source:http",
  ].map((scheme) => `${scheme}://127.0.0.1:PORT/`),
  ...["file:///etc/passwd", "unix:/run/docker.sock:/info", "data:,x", "javascript:fetch(1)", "about:blank"],
];

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
