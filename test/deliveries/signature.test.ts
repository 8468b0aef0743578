/** Tests of signatures by Standard Webhooks 1.0.0, against its own example and an independent receiver. */
import { webcrypto } from "node:crypto";
import { describe, expect, it } from "vitest";
import { UnusableSecret, webhookHeaders } from "../../src/deliveries/signature.ts";

/** The example of the specification. */
const EXAMPLE = {
  id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
  now: new Date(1_614_265_330_000),
  body: '{"test": 2432232314}',
};
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

const headersOf = (secrets: Record<string, string>, webhook = EXAMPLE) =>
  webhookHeaders(webhook, new Map(Object.entries(secrets)));

/** Whether one of the signatures is valid for this key, as a receiver would check it. */
async function isGenuine(
  headers: Record<string, string>,
  body: string,
  key: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const hmac = await webcrypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, [
    "verify",
  ]);
  const content = new TextEncoder().encode(
    `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`,
  );
  const given = (headers["webhook-signature"] ?? "").split(" ").filter((one) => one.startsWith("v1,"));
  const checks = given.map((one) =>
    webcrypto.subtle.verify(
      "HMAC",
      hmac,
      Uint8Array.from(atob(one.slice(3)), (c) => c.charCodeAt(0)),
      content,
    ),
  );
  return (await Promise.all(checks)).includes(true);
}

it("computes the signature of the specification's example", () => {
  expect(headersOf({ shop: SECRET })).toEqual({
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": SIGNATURE,
  });
});

it("sends the id and the time even without a secret", () => {
  expect(headersOf({})).toEqual({ "webhook-id": EXAMPLE.id, "webhook-timestamp": "1614265330" });
});

it("signs with both secrets during a rotation, so that either is enough", async () => {
  const other = "a text of twenty-four and more";
  const headers = headersOf({ before: SECRET, after: other });
  expect(headers["webhook-signature"]).toMatch(/^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$/);
  expect(headers["webhook-signature"]?.split(" ")[0]).toBe(SIGNATURE);
  const keys = [
    Uint8Array.from(atob(SECRET.slice(6)), (c) => c.charCodeAt(0)),
    new TextEncoder().encode(other),
  ];
  for (const key of keys) expect(await isGenuine(headers, EXAMPLE.body, key)).toBe(true);
  expect(await isGenuine(headers, EXAMPLE.body, new TextEncoder().encode("another key altogether!!"))).toBe(
    false,
  );
});

it("covers the id, the second and every byte of the body", async () => {
  const key = new TextEncoder().encode("a text of twenty-four and more");
  const webhook = { id: "1", now: new Date(1_614_265_330_999), body: '{"log":"☕\\n"}' };
  const headers = headersOf({ s: new TextDecoder().decode(key) }, webhook);
  expect(headers["webhook-timestamp"]).toBe("1614265330");
  expect(await isGenuine(headers, webhook.body, key)).toBe(true);
  expect(await isGenuine(headers, `${webhook.body} `, key)).toBe(false);
  expect(await isGenuine({ ...headers, "webhook-id": "2" }, webhook.body, key)).toBe(false);
  expect(await isGenuine({ ...headers, "webhook-timestamp": "1614265331" }, webhook.body, key)).toBe(false);
});

describe("a secret", () => {
  const base64 = (length: number) => `whsec_${Buffer.alloc(length, 0xfb).toString("base64")}`;

  it.each([
    ["24 bytes of text", "x".repeat(24)],
    ["64 bytes of text", "x".repeat(64)],
    ["24 bytes of text in 8 characters", "€".repeat(8)],
    ["24 bytes in base64", base64(24)],
    ["64 bytes in base64", base64(64)],
    ["25 bytes in base64 without padding", base64(25).replace(/=+$/, "")],
  ])("of %s can sign", (_what, secret) => {
    expect(headersOf({ secret })["webhook-signature"]).toMatch(/^v1,.{44}$/);
  });

  it.each([
    ["23 bytes of text", "x".repeat(23)],
    ["65 bytes of text", "x".repeat(65)],
    ["23 bytes in base64", base64(23)],
    ["65 bytes in base64", base64(65)],
    ["a prefix alone", "whsec_"],
    ["invalid base64", `whsec_${"x".repeat(31)}!`],
    ["base64 for URLs", base64(24).replaceAll("+", "-")],
    ["base64 and a line end", `${base64(24)}\n`],
  ])("of %s cannot sign, and the error does not show it", (_what, secret) => {
    const sign = () => headersOf({ good: SECRET, "shop-key": secret });
    expect(sign).toThrow(UnusableSecret);
    expect(sign).toThrow(
      /^secret shop-key cannot sign: it must have 24 to 64 bytes, as plain text or as whsec_ followed by base64$/,
    );
    expect(sign).not.toThrow(secret.replace(/^whsec_$/, "no such text"));
  });
});
