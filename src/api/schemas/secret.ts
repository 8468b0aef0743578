/** Secrets in and out: the value goes in, and everything but the value comes out. */
import { z } from "zod";
import type { ListedSecret } from "../../access/secrets.ts";
import { MIN_SECRET_BYTES } from "../../text/redaction.ts";

const MAX_SECRET_BYTES = 16_384;
const bytes = (text: string) => Buffer.byteLength(text);

const EXAMPLE = {
  name: "shop-api-key",
  created_at: "2026-03-01T09:00:00.000Z",
  updated_at: "2026-03-01T09:00:00.000Z",
};

/** What a PUT takes. */
export const putSecretSchema = z
  .strictObject({
    value: z
      .string()
      .refine((value) => bytes(value) >= MIN_SECRET_BYTES && bytes(value) <= MAX_SECRET_BYTES, {
        error: `must have ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes: a shorter one could not be kept out of logs`,
      })
      .describe("Never shown again"),
  })
  .meta({ id: "PutSecret", example: { value: "correct horse battery staple" } });

export const secretSchema = z
  .object({ name: z.string(), created_at: z.iso.datetime(), updated_at: z.iso.datetime() })
  .meta({ id: "Secret", example: EXAMPLE });

export const secretListSchema = z
  .object({ items: z.array(secretSchema), next_cursor: z.null() })
  .meta({ id: "SecretList", example: { items: [EXAMPLE], next_cursor: null } });

export const rotatedSchema = z
  .object({ rotated: z.int().describe("Values that are now under the newest key") })
  .meta({ id: "RotatedSecrets", example: { rotated: 3 } });

/** A secret on the wire. */
export function secretView({ name, createdAt, updatedAt }: ListedSecret): z.input<typeof secretSchema> {
  return { name, created_at: createdAt.toISOString(), updated_at: updatedAt.toISOString() };
}
