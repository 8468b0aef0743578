/** The guard refuses every address that is not public, in any notation, and allows exactly the given ranges. */
import type { LookupAddress } from "node:dns";
import { BlockList } from "node:net";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AddressRefused,
  createAddressGuard,
  parseCidrs,
  type Resolve,
} from "../../src/deliveries/address-guard.ts";

const closed = createAddressGuard([]);

describe("checkUrl", () => {
  it.each([
    ["no url at all", "this is not a URL"],
    ["http://256.0.0.1/", "this is not a URL"],
    ["http://[::1%25lo]/", "this is not a URL"],
    ["ftp://example.org/", "ftp: is neither http: nor https:"],
    ["unix:/run/docker.sock", "unix: is neither http: nor https:"],
    ["https://user:secret@example.org/", "the URL must not contain credentials; send a header instead"],
    ["https://93.184.215.14@127.0.0.1/", "the URL must not contain credentials; send a header instead"],
  ])("refuses %s with the reason: %s", (url, reason) => expect(closed.checkUrl(url)).toBe(reason));

  it("refuses localhost like the addresses that it resolves to", () => {
    const refusal =
      "localhost (127.0.0.1, ::1) is not a public address; to allow it, add it to WEBHOOK_ALLOW_CIDR";
    expect(closed.checkUrl("http://localhost:3000/hook")).toBe(refusal);
    expect(createAddressGuard(["::1"]).checkUrl("http://localhost:3000/hook")).toBeUndefined();
  });

  it.each(["https://example.org/hook", "http://93.184.215.14:8080/", "https://[2606:2800:21f::1]/"])(
    "accepts %s",
    (url) => expect(closed.checkUrl(url)).toBeUndefined(),
  );
});

describe("isAllowed", () => {
  it.each(["1.1.1.1", "93.184.215.14", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"])(
    "lets the public %s pass",
    (ip) => expect(closed.isAllowed(ip)).toBe(true),
  );
  it.each(["2606:4700::1111", "::ffff:1.1.1.1", "2001:4860:4860::8888"])("lets the public %s pass", (ip) =>
    expect(closed.isAllowed(ip)).toBe(true),
  );
  it.each([
    "",
    "example.org",
    "0x7f.1",
    "127.1",
    "1.1",
    "01.1.1.1",
    "1.1.1.1/32",
    "fe80::1%eth0",
    "2606:4700::1111%1",
  ])("refuses %j, which is not an address in standard notation", (text) =>
    expect(closed.isAllowed(text)).toBe(false),
  );

  it("allows only the given ranges", () => {
    const cidr = fc.tuple(fc.ipV4(), fc.integer({ min: 4, max: 32 }));
    // All of 240.0.0.0/4 is refused by default, so an address that passes was allowed by a range.
    const reserved = (ip: string) => ip.replace(/^\d+/, (first) => String(240 + (Number(first) % 15)));
    fc.assert(
      fc.property(cidr, fc.ipV4(), ([network, length], other) => {
        const range = new BlockList();
        range.addSubnet(reserved(network), length);
        const guard = createAddressGuard([`${reserved(network)}/${length}`]);
        for (const ip of [reserved(network), reserved(other)]) {
          expect(guard.isAllowed(ip)).toBe(range.check(ip));
          expect(guard.isAllowed(`::ffff:${ip}`)).toBe(range.check(ip));
        }
      }),
    );
  });

  it("does not mix IPv4 and IPv6", () => {
    expect(createAddressGuard(["0.0.0.0/0"]).isAllowed("::1")).toBe(false);
    expect(createAddressGuard(["::/0"]).isAllowed("127.0.0.1")).toBe(false);
    expect(createAddressGuard(["fd00::/8"]).isAllowed("fd12::1")).toBe(true);
  });
});

describe("lookup", () => {
  const PUBLIC: LookupAddress = { address: "93.184.215.14", family: 4 };
  const PUBLIC_V6: LookupAddress = { address: "2606:2800:21f::1", family: 6 };
  const LOOPBACK: LookupAddress = { address: "127.0.0.1", family: 4 };
  const guardOf = (...answers: LookupAddress[]) => createAddressGuard([], async () => answers);
  const lookupAll = (guard: typeof closed) => promisify(guard.lookup)("a.example", { all: true });

  it("returns only the allowed addresses", async () => {
    expect(await lookupAll(guardOf(LOOPBACK, PUBLIC, PUBLIC_V6))).toEqual([PUBLIC, PUBLIC_V6]);
  });

  it("returns the first allowed address in its single form", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown[]>();
    guardOf(LOOPBACK, PUBLIC_V6, PUBLIC).lookup("a.example", {}, (...result) => resolve(result));
    expect(await promise).toEqual([null, PUBLIC_V6.address, 6]);
  });

  it("fails with the host and its addresses when all are refused", async () => {
    const mapped = { address: "::ffff:10.0.0.1", family: 6 };
    const error = await lookupAll(guardOf(LOOPBACK, mapped)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AddressRefused);
    expect(error).toHaveProperty(
      "message",
      expect.stringMatching(/a\.example.*127\.0\.0\.1.*::ffff:10\.0\.0\.1/),
    );
  });

  it("passes the requested family to the resolver, and returns its error", async () => {
    const resolve: Resolve = async (host, options) =>
      Promise.reject(new Error(JSON.stringify({ host, ...options })));
    const lookup = promisify(createAddressGuard([], resolve).lookup)("a.example", { family: 6 });
    await expect(lookup).rejects.toThrow('{"host":"a.example","family":6,"all":true}');
  });
});

describe("parseCidrs", () => {
  it("accepts commas and spaces, and an address as a range of one", () => {
    const text = " 10.0.0.0/8, fd00::/8\n192.168.1.5,::1 ";
    expect(parseCidrs(text)).toEqual(["10.0.0.0/8", "fd00::/8", "192.168.1.5/32", "::1/128"]);
    expect(parseCidrs("")).toEqual([]);
  });

  it("reads an IPv4-mapped range as the IPv4 range that it reaches", () => {
    expect(parseCidrs("::ffff:10.0.0.0/104 ::ffff:7f00:1 ::/0")).toEqual([
      "10.0.0.0/8",
      "127.0.0.1/32",
      "::/0",
    ]);
    const guard = createAddressGuard(["::ffff:127.0.0.1/128"]);
    expect(["127.0.0.1", "::ffff:7f00:1", "127.0.0.2", "::7f00:1"].map(guard.isAllowed)).toEqual([
      ...[true, true, false, false],
    ]);
  });

  it.each([
    "10.0.0/8",
    "fe80::1%eth0/64",
    "10.0.0.0/33",
    "::1/129",
    "localhost",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "0x0a.0.0.0/8",
    "1/8",
  ])("quotes the wrong part %s", (part) =>
    expect(() => parseCidrs(`127.0.0.1, ${part}`)).toThrow(`"${part}" is not an address range`),
  );
});
