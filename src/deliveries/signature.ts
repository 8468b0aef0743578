/** Signs webhooks with Standard Webhooks 1.0.0, so that a receiver can check the sender and recognise repeats. */
import { Webhook } from "standardwebhooks";

const PREFIX = "whsec_";
const MIN_KEY_BYTES = 24;
const MAX_KEY_BYTES = 64;

/** A secret cannot sign. The message gives its name and never its value. */
export class UnusableSecret extends Error {
  override readonly name = "UnusableSecret";

  constructor(secret: string) {
    super(
      `secret ${secret} cannot sign: it must have ${MIN_KEY_BYTES} to ${MAX_KEY_BYTES} bytes, as plain text or as ${PREFIX} followed by base64`,
    );
  }
}

/**
 * Returns the headers of one try: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
 * @param webhook `id` is the same for every try of a delivery; `now` is the time of this try
 * @param secrets values by name; each adds one signature, and without any there is no signature header
 * @throws UnusableSecret
 */
export function webhookHeaders(
  webhook: { id: string; now: Date; body: string },
  secrets: ReadonlyMap<string, string>,
): Record<string, string> {
  const { id, now, body } = webhook;
  const signatures = [...secrets].map(([name, value]) =>
    new Webhook(signingKey(name, value), { format: "raw" }).sign(id, now, body),
  );
  return {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
    ...(signatures.length > 0 && { "webhook-signature": signatures.join(" ") }),
  };
}

/** Decodes the base64 after `whsec_`; any other value is used as its UTF-8 bytes. */
function signingKey(name: string, value: string): Buffer {
  const isEncoded = value.startsWith(PREFIX);
  const encoded = value.slice(PREFIX.length);
  const key = isEncoded ? Buffer.from(encoded, "base64") : Buffer.from(value);
  // Node skips characters that are not base64. The receiver would derive another key or refuse the text.
  const isExact = !isEncoded || unpadded(key.toString("base64")) === unpadded(encoded);
  if (!isExact || key.length < MIN_KEY_BYTES || key.length > MAX_KEY_BYTES) throw new UnusableSecret(name);
  return key;
}

function unpadded(base64: string): string {
  return base64.replace(/={1,2}$/, "");
}
