/** Tokens and secrets: each value goes over the wire once, and never again. */
import { z } from "zod";
import { SCOPES } from "../../access/rules/grants.ts";
import { MIN_SECRET_BYTES } from "../../text/redaction.ts";
import { durationSchema, nameSchema } from "./fields.ts";

const MAX_SECRET_BYTES = 16_384;
const bytes = (text: string) => Buffer.byteLength(text);

const SECRET_EXAMPLE = {
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
  .meta({ id: "Secret", example: SECRET_EXAMPLE });

export const secretListSchema = z
  .object({ items: z.array(secretSchema), next_cursor: z.null() })
  .meta({ id: "SecretList", example: { items: [SECRET_EXAMPLE], next_cursor: null } });

export const rotatedSchema = z
  .object({ rotated: z.int().describe("Values that are now under the newest key") })
  .meta({ id: "RotatedSecrets", example: { rotated: 3 } });

const MAX_EXPIRY_MS = 3_650 * 86_400_000;
const time = z.iso.datetime();

const TOKEN_EXAMPLE = {
  name: "coffee-button",
  scopes: ["trigger"],
  jobs: ["coffee"],
  created_by: "admin",
  created_at: "2026-03-01T09:00:00.000Z",
  expires_at: "2026-05-30T09:00:00.000Z",
  last_used_at: "2026-03-01T09:04:00.000Z",
};

/** What a POST takes. */
export const newTokenSchema = z
  .strictObject({
    name: nameSchema.describe("Stands in the audit"),
    scopes: z
      .array(z.enum(SCOPES))
      .min(1)
      .max(SCOPES.length)
      .refine((scopes) => new Set(scopes).size === scopes.length, { error: "a scope stands twice" })
      .describe(
        "read: see all but secret values. trigger: trigger jobs and see their runs. admin: everything",
      ),
    jobs: z
      .array(nameSchema)
      .min(1)
      .max(1_000)
      .refine((names) => new Set(names).size === names.length, { error: "a job stands twice" })
      .optional()
      .describe("Limits trigger to these jobs; default: all"),
    expires_in: durationSchema(MAX_EXPIRY_MS, "3650d")
      .refine((ms) => ms > 0, { error: "must be longer than 0s" })
      .optional()
      .describe("Such as 90d; without it and expires_at the token works until it is deleted"),
    expires_at: z.iso.datetime({ offset: true }).optional(),
  })
  .superRefine(({ scopes, jobs, expires_in, expires_at }, context) => {
    const wrong = (path: string, message: string) =>
      context.addIssue({ code: "custom", path: [path], message });
    if (expires_in !== undefined && expires_at !== undefined) {
      wrong("expires_in", "expires_at says when already: give one of them");
    }
    if (jobs === undefined) return;
    if (scopes.includes("admin")) wrong("jobs", "the scope admin has no limit: leave jobs or admin out");
    else if (!scopes.includes("trigger")) wrong("jobs", "limits the scope trigger, which is not asked for");
  })
  .meta({
    id: "NewToken",
    example: { name: "coffee-button", scopes: ["trigger"], jobs: ["coffee"], expires_in: "90d" },
  });

export const tokenSchema = z
  .object({
    name: z.string(),
    scopes: z.array(z.enum(SCOPES)),
    jobs: z.array(z.string()).nullable().describe("What trigger is limited to; null: all jobs"),
    created_by: z.string().describe("The token that made it"),
    created_at: time,
    expires_at: time.nullable(),
    last_used_at: time.nullable().describe("To the minute"),
  })
  .meta({ id: "Token", example: TOKEN_EXAMPLE });

/** What the call answers that makes a token. */
export const madeTokenSchema = z
  .object({ ...tokenSchema.shape, token: z.string().describe("Shown this once") })
  .meta({
    id: "MadeToken",
    example: {
      ...TOKEN_EXAMPLE,
      last_used_at: null,
      token: "crl_2Jc9oXK1mT0sVhQ4yG7uLr8bNwEaZp3dRfCi6kOtYxM",
    },
  });

export const tokenListSchema = z
  .object({ items: z.array(tokenSchema), next_cursor: z.string().nullable() })
  .meta({ id: "TokenList", example: { items: [TOKEN_EXAMPLE], next_cursor: null } });
