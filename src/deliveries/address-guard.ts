/** Refuses webhook addresses that are not public, unless the operator has allowed them. */

import type { LookupAddress, LookupAllOptions } from "node:dns";
import { lookup as dnsLookup } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Cidr = [Address, number];

/** Resolves a host name to all its addresses, like `lookup` of `node:dns/promises`. */
export type Resolve = (host: string, options: LookupAllOptions) => Promise<LookupAddress[]>;

/** Decides which addresses a webhook may be sent to. */
export interface AddressGuard {
  /** Whether an IP address, in its usual notation, is public or allowed; false for anything else. */
  isAllowed(ip: string): boolean;
  /**
   * Replaces `dns.lookup` when a socket connects, so that the checked address is the one that is connected to.
   * It returns allowed addresses only, and fails with AddressRefused when a name has none.
   */
  lookup: LookupFunction;
  /**
   * Returns why a URL cannot be called, judged by its text alone; undefined when it may be called.
   * Node does not look up literal addresses, so this check must pass before a request.
   */
  checkUrl(url: string): string | undefined;
}

/** A host has no address to which webhooks may be sent. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";

  constructor(host: string, addresses: readonly string[]) {
    const what = addresses.includes(host) ? host : `${host} (${addresses.join(", ")})`;
    super(`${what} is not a public address; to allow it, add it to WEBHOOK_ALLOW_CIDR`);
  }
}

// All global unicast space assigned so far: https://www.iana.org/assignments/ipv6-address-space.
// Addresses outside may look harmless but are not, such as ::7f00:1, an old notation of 127.0.0.1.
const GLOBAL_IPV6 = ipaddr.IPv6.parseCIDR("2000::/3");

/** Length of the prefix before the IPv4 address in an IPv4-mapped one. */
const MAPPED_BITS = 96;

/**
 * Parses a WEBHOOK_ALLOW_CIDR value: ranges separated by commas or spaces; a single address is a range of one.
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
 * Creates the guard; sending and saving share it.
 * @param allowCidrs ranges that may be called although they are not public
 * @param resolve resolves names; default: the resolver of the system
 * @throws Error that quotes the first of `allowCidrs` that is not a range
 */
export function createAddressGuard(
  allowCidrs: readonly string[],
  resolve: Resolve = dnsLookup,
): AddressGuard {
  const allowedRanges = allowCidrs.map(parseCidr);

  function isAllowed(ip: string): boolean {
    const address = parseAddress(ip);
    return (
      address !== undefined && (isPublic(address) || allowedRanges.some((cidr) => contains(cidr, address)))
    );
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
    if (url.username !== "" || url.password !== "")
      return "the URL must not contain credentials; send a header instead";
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

/** Parses an address; an IPv4-mapped one (::ffff:127.0.0.1) becomes the IPv4 address that it reaches. */
function parseAddress(ip: string): Address | undefined {
  return isPlain(ip) && ipaddr.isValid(ip) ? ipaddr.process(ip) : undefined;
}

/** ipaddr.js also accepts 0x7f.1, which no resolver returns; a zone (fe80::1%eth0) means nothing on other hosts. */
function isPlain(ip: string): boolean {
  return isIP(ip) !== 0 && !ip.includes("%");
}

function parseCidr(text: string): Cidr {
  const [ip = "", length] = text.split("/");
  const cidr = length === undefined ? `${ip}/${isIP(ip) === 6 ? 128 : 32}` : text;
  if (!isPlain(ip) || !ipaddr.isValidCIDR(cidr)) {
    throw new Error(`"${text}" is not an address range such as 10.0.0.0/8 or fd00::/8`);
  }
  const [address, bits] = ipaddr.parseCIDR(cidr);
  // Like addresses, a mapped range means the IPv4 range; otherwise it would match nothing.
  const isMapped = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= MAPPED_BITS;
  return isMapped ? [address.toIPv4Address(), bits - MAPPED_BITS] : [address, bits];
}
