/** Which deliveries belong to one host. */
import { expect, it } from "vitest";
import { hostOf } from "../../../src/deliveries/rules/host.ts";

it.each([
  ["https://example.org/a?b=c", "example.org"],
  ["HTTPS://Example.ORG:443/", "example.org"],
  ["http://example.org:8080/a", "example.org:8080"],
  ["http://[::1]:80/", "[::1]"],
  ["secret:HOOK", "secret:HOOK"],
  ["no URL", "no URL"],
])("%s belongs to %s", (url, host) => {
  expect(hostOf(url)).toBe(host);
});
