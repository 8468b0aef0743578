/** Signs webhooks as Standard Webhooks 1.0.0 has it, so that a receiver knows whose they are and which it has seen. */
import { createHmac } from "node:crypto";

const PREFIX = "whsec_";
const MIN_KEY_BYTES = 24;
const MAX_KEY_BYTES = 64;

/** A secret cannot sign; the message names it and not its value. */
export class UnusableSecret extends Error {
  override readonly name = "UnusableSecret";

  constructor(secret: string) {
    super(
      `secret ${secret} cannot sign: it has to be ${MIN_KEY_BYTES} to ${MAX_KEY_BYTES} bytes, or ${PREFIX} and such bytes in base64`,
    );
  }
}

/**
 * The headers of one try: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
 * @param webhook `id` is the same at each try of a delivery, `now` the time of this one
 * @param secrets values by name; each makes a signature, and with none there is no such header
 * @throws UnusableSecret
 */
export function webhookHeaders(
  webhook: { id: string; now: Date; body: string },
  secrets: ReadonlyMap<string, string>,
): Record<string, string> {
  const { id, now, body } = webhook;
  const timestamp = Math.floor(now.getTime() / 1_000);
  const signatures = [...secrets].map(([name, value]) => {
    const hmac = createHmac("sha256", signingKey(name, value)).update(`${id}.${timestamp}.${body}`);
    return `v1,${hmac.digest("base64")}`;
  });
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    ...(signatures.length > 0 && { "webhook-signature": signatures.join(" ") }),
  };
}

/** The bytes that a secret stands for: what follows `whsec_` is base64, another value is its own text. */
function signingKey(name: string, value: string): Buffer {
  const isEncoded = value.startsWith(PREFIX);
  const encoded = value.slice(PREFIX.length);
  const key = isEncoded ? Buffer.from(encoded, "base64") : Buffer.from(value);
  // Node reads past what is no base64; the receiver would read something else, or nothing.
  const isExact = !isEncoded || unpadded(key.toString("base64")) === unpadded(encoded);
  if (!isExact || key.length < MIN_KEY_BYTES || key.length > MAX_KEY_BYTES) throw new UnusableSecret(name);
  return key;
}

function unpadded(base64: string): string {
  return base64.replace(/={1,2}$/, "");
}
