/** Keeps webhooks away from every address that is not public, unless the operator has opened it. */

import type { LookupAddress, LookupAllOptions } from "node:dns";
import { lookup as dnsLookup } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Cidr = [Address, number];

/** Finds all addresses of a host name, as `lookup` of `node:dns/promises` does. */
export type Resolve = (host: string, options: LookupAllOptions) => Promise<LookupAddress[]>;

/** Decides which addresses a webhook may be sent to. */
export interface AddressGuard {
  /** Whether an IP address, in its usual spelling, is public or opened; false for anything else. */
  isAllowed(ip: string): boolean;
  /**
   * Stands in for `dns.lookup` where a socket connects, so that the address checked is the one connected to.
   * It answers allowed addresses only, and fails with AddressRefused when a name has none.
   */
  lookup: LookupFunction;
  /**
   * Why a URL cannot be called, as far as its text tells; undefined: nothing speaks against it.
   * Node looks no literal address up, so this has to pass before a request is made.
   */
  checkUrl(url: string): string | undefined;
}

/** A host has no address that webhooks may be sent to. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";

  constructor(host: string, addresses: readonly string[]) {
    const what = addresses.includes(host) ? host : `${host} (${addresses.join(", ")})`;
    super(`${what} is not a public address; to allow it, add it to WEBHOOK_ALLOW_CIDR`);
  }
}

// All that is assigned as global unicast so far: https://www.iana.org/assignments/ipv6-address-space.
// What lies outside and looks harmless is not, such as ::7f00:1, an old way to write 127.0.0.1.
const GLOBAL_IPV6 = ipaddr.IPv6.parseCIDR("2000::/3");

/** What stands before the IPv4 address in a mapped one. */
const MAPPED_BITS = 96;

/**
 * The ranges of a WEBHOOK_ALLOW_CIDR value, separated by commas or spaces; an address alone is a range of one.
 * @throws Error that quotes the first part that is not a range
 */
export function parseCidrs(text: string): string[] {
  return text
    .split(/[\s,]+/)
    .filter((part) => part !== "")
    .map((part) => {
      const [address, length] = parseCidr(part);
      return `${address.toString()}/${length}`;
    });
}

/**
 * Makes the guard that sending and saving share.
 * @param allowCidrs ranges that may be called although they are not public
 * @param resolve how names become addresses; the system's resolver unless a test says otherwise
 * @throws Error that quotes the first of `allowCidrs` that is not a range
 */
export function createAddressGuard(
  allowCidrs: readonly string[],
  resolve: Resolve = dnsLookup,
): AddressGuard {
  const opened = allowCidrs.map(parseCidr);

  function isAllowed(ip: string): boolean {
    const address = parseAddress(ip);
    return address !== undefined && (isPublic(address) || opened.some((cidr) => contains(cidr, address)));
  }

  async function allowedAddresses(host: string, options: LookupAllOptions): Promise<LookupAddress[]> {
    const found = await resolve(host, options);
    const allowed = found.filter(({ address }) => isAllowed(address));
    if (allowed.length > 0) return allowed;
    throw new AddressRefused(
      host,
      found.map(({ address }) => address),
    );
  }

  const lookup: LookupFunction = (host, options, callback) => {
    allowedAddresses(host, { ...options, all: true }).then(
      (allowed) => {
        const [first] = allowed;
        if (options.all || first === undefined) callback(null, allowed);
        else callback(null, first.address, first.family);
      },
      (error) => callback(error, []),
    );
  };

  function checkUrl(text: string): string | undefined {
    const url = URL.parse(text);
    if (url === null) return "this is not a URL";
    if (!["http:", "https:"].includes(url.protocol)) return `${url.protocol} is neither http: nor https:`;
    if (url.username !== "" || url.password !== "") return "a URL with credentials: send a header instead";
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const addresses = host === "localhost" ? ["127.0.0.1", "::1"] : [host];
    const refused = addresses.every((address) => isIP(address) !== 0 && !isAllowed(address));
    return refused ? new AddressRefused(host, addresses).message : undefined;
  }

  return { isAllowed, lookup, checkUrl };
}

function isPublic(address: Address): boolean {
  return address.range() === "unicast" && (address.kind() === "ipv4" || contains(GLOBAL_IPV6, address));
}

function contains(cidr: Cidr, address: Address): boolean {
  return cidr[0].kind() === address.kind() && address.match(cidr);
}

/** An IPv4-mapped address (::ffff:127.0.0.1) is the IPv4 address it reaches. */
function parseAddress(ip: string): Address | undefined {
  return isPlain(ip) && ipaddr.isValid(ip) ? ipaddr.process(ip) : undefined;
}

/** ipaddr.js alone reads 0x7f.1 too, which no resolver answers; a zone (fe80::1%eth0) would mean nothing elsewhere. */
function isPlain(ip: string): boolean {
  return isIP(ip) !== 0 && !ip.includes("%");
}

function parseCidr(text: string): Cidr {
  const [ip = "", length] = text.split("/");
  const cidr = length === undefined ? `${ip}/${isIP(ip) === 6 ? 128 : 32}` : text;
  if (!isPlain(ip) || !ipaddr.isValidCIDR(cidr)) {
    throw new Error(`"${text}" is not a range of addresses such as 10.0.0.0/8 or fd00::/8`);
  }
  const [address, bits] = ipaddr.parseCIDR(cidr);
  // As addresses do, a mapped range means the IPv4 one; else it would open nothing.
  const isMapped = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= MAPPED_BITS;
  return isMapped ? [address.toIPv4Address(), bits - MAPPED_BITS] : [address, bits];
}
