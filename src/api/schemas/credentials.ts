/** Tokens and secrets; the API transmits each value only once. */
import { z } from "zod";
import { SCOPES } from "../../access/rules/grants.ts";
import { MIN_SECRET_BYTES } from "../../text/redaction.ts";
import { durationSchema, nameSchema, pageSchema } from "./fields.ts";

const MAX_SECRET_BYTES = 16_384;
const bytes = (text: string) => Buffer.byteLength(text);

const SECRET_EXAMPLE = {
  name: "shop-api-key",
  created_at: "2026-03-01T09:00:00.000Z",
  updated_at: "2026-03-01T09:00:00.000Z",
};

/** The body of a PUT. */
export const putSecretSchema = z
  .strictObject({
    value: z
      .string()
      .refine((value) => bytes(value) >= MIN_SECRET_BYTES && bytes(value) <= MAX_SECRET_BYTES, {
        error: `must have ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes: shorter values cannot be masked in logs`,
      })
      .describe(
        `The value, ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes of UTF-8. The API never returns it`,
      ),
  })
  .meta({ id: "PutSecret", example: { value: "correct horse battery staple" } });

export const secretSchema = z
  .object({ name: z.string(), created_at: z.iso.datetime(), updated_at: z.iso.datetime() })
  .meta({ id: "Secret", example: SECRET_EXAMPLE });

export const secretListSchema = z
  .object({ items: z.array(secretSchema), next_cursor: z.null() })
  .meta({ id: "SecretList", example: { items: [SECRET_EXAMPLE], next_cursor: null } });

export const rotationSchema = z
  .object({ rotated: z.int().describe("Number of values that were encrypted again with the first key") })
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

/** The body of a POST. */
export const newTokenSchema = z
  .strictObject({
    name: nameSchema.describe("The name of the token; audit entries name it as the actor"),
    scopes: z
      .array(z.enum(SCOPES))
      .min(1)
      .max(SCOPES.length)
      .refine((scopes) => new Set(scopes).size === scopes.length, { error: "a scope is listed twice" })
      .describe(
        "`read`: read everything except the values of secrets, of `env` and of webhook URLs and headers. `trigger`: trigger jobs and read their runs. `admin`: everything",
      ),
    jobs: z
      .array(nameSchema)
      .min(1)
      .max(1_000)
      .refine((names) => new Set(names).size === names.length, { error: "a job is listed twice" })
      .optional()
      .describe("Names of the jobs that the scope `trigger` is limited to; default: all jobs"),
    expires_in: durationSchema(MAX_EXPIRY_MS, "3650d")
      .refine((ms) => ms > 0, { error: "must be longer than 0s" })
      .optional()
      .describe(
        "Lifetime of the token, such as `90d`; at most 3650d. Without `expires_in` and `expires_at` the token never expires",
      ),
    expires_at: z.iso
      .datetime({ offset: true })
      .optional()
      .describe("When the token expires; an alternative to `expires_in`"),
  })
  .superRefine(({ scopes, jobs, expires_in, expires_at }, context) => {
    const wrong = (path: string, message: string) =>
      context.addIssue({ code: "custom", path: [path], message });
    if (expires_in !== undefined && expires_at !== undefined) {
      wrong("expires_in", "expires_in and expires_at exclude each other: send only one of them");
    }
    if (jobs === undefined) return;
    if (scopes.includes("admin"))
      wrong("jobs", "the scope admin cannot be limited to jobs: leave jobs or admin out");
    else if (!scopes.includes("trigger")) wrong("jobs", "requires the scope trigger");
  })
  .meta({
    id: "NewToken",
    example: { name: "coffee-button", scopes: ["trigger"], jobs: ["coffee"], expires_in: "90d" },
  });

export const tokenSchema = z
  .object({
    name: z.string(),
    scopes: z.array(z.enum(SCOPES)),
    jobs: z
      .array(z.string())
      .nullable()
      .describe("Names of the jobs that the scope `trigger` is limited to; null: all jobs"),
    created_by: z.string().describe("The name of the token that created this one"),
    created_at: time,
    expires_at: time.nullable().describe("null: never"),
    last_used_at: time.nullable().describe("Accurate to the minute; null: never used"),
  })
  .meta({ id: "Token", example: TOKEN_EXAMPLE });

/** The response to the creation of a token. */
export const madeTokenSchema = z
  .object({
    ...tokenSchema.shape,
    token: z.string().describe("The token itself. Only this response contains it"),
  })
  .meta({
    id: "MadeToken",
    example: {
      ...TOKEN_EXAMPLE,
      last_used_at: null,
      token: "crl_2Jc9oXK1mT0sVhQ4yG7uLr8bNwEaZp3dRfCi6kOtYxM",
    },
  });

export const tokenListSchema = pageSchema(tokenSchema).meta({
  id: "TokenList",
  example: { items: [TOKEN_EXAMPLE], next_cursor: null },
});
