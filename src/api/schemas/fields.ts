/** The fields that documents share: names, durations, environments, crons and zones. */
import { z } from "zod";
import { POOL_NAME } from "../../jobs/rules/definition.ts";
import { withLiterals } from "../../text/literals.ts";
import { formatSize, parseSize } from "../../text/sizes.ts";
import { CronError, parseCron } from "../../time/cron.ts";
import { parseDuration } from "../../time/duration.ts";
import { isTimeZone } from "../../time/zones.ts";

const MAX_RETENTION_MS = 100 * 365 * 86_400_000;

// `meta` has `example` instead of `examples`, because zod leaves `examples` out where parsing changes the value.
/** The name of a job or schedule. It accepts all printable text that fits into a path, so that cheek files import. */
export const nameSchema = z
  .string()
  .min(1)
  .max(200)
  .regex(/^(?!\.{1,2}$)[^\s\p{C}/\\?#%](?:[^\p{C}/\\?#%]*[^\s\p{C}/\\?#%])?$/u, {
    error: "must be printable, must not begin or end with a space, and must not contain / \\ ? # %",
  })
  .meta({ example: "coffee" });

/** A duration such as `5s`; in milliseconds once parsed. */
export function durationSchema(maxMs: number, longest: string) {
  const message = `must be a duration such as 500ms, 5s, 10m or 1h30m, at most ${longest}`;
  return z
    .string({ error: ({ input }) => (input === undefined ? undefined : message) })
    .meta({ example: "5s" })
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined && ms <= maxMs) return ms;
      context.issues.push({ code: "custom", input: text, message });
      return z.NEVER;
    });
}

export const cronSchema = z
  .string()
  .superRefine((text, context) => {
    try {
      parseCron(text);
    } catch (error) {
      if (!(error instanceof CronError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
    }
  })
  .meta({ example: "*/5 * * * *" });

export const timezoneSchema = z
  .string()
  .refine(isTimeZone, { error: "must be an IANA time zone such as Europe/Brussels or UTC" })
  .meta({ example: "Europe/Brussels" });

const variableSchema = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: "must be a name such as CUP_SIZE" });
const valueSchema = z.union([z.string().max(32_768), z.number(), z.boolean()]).transform(String);

/** A record in which numbers and booleans are text, as they were written: `1.10` stays `1.10`. */
function textsSchema<T extends z.ZodType>(schema: T) {
  const isMap = (input: unknown) => typeof input === "object" && input !== null && !Array.isArray(input);
  return z.preprocess((input) => (isMap(input) ? withLiterals(Object(input)) : input), schema);
}

/** Names of environment variables, without duplicates. */
export const paramsSchema = z
  .array(variableSchema)
  .max(100)
  .refine((names) => new Set(names).size === names.length, { error: "a name is listed twice" })
  .meta({ example: ["CUP"] });

/** Environment variables; numbers and booleans become text. */
export const envSchema = textsSchema(z.record(variableSchema, valueSchema)).meta({
  example: { CUP: "large" },
});

/** The name of a secret. */
export const secretNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$/, {
    error:
      "must be a name of at most 100 letters, digits, dots, - and _, with a letter or digit at both ends",
  })
  .meta({ example: "shop-api-key" });

/** Environment variables of a job: plain values, or names of secrets. */
export const jobEnvSchema = textsSchema(
  z.record(variableSchema, z.union([valueSchema, z.strictObject({ secret: secretNameSchema })])),
).meta({ example: { CUP: "large", SHOP_KEY: { secret: "shop-api-key" } } });

export const labelsSchema = z
  .record(z.string().min(1).max(100), z.string().max(500))
  .meta({ example: { team: "coffee" } });

/** How long runs are kept, such as `30 days`; in milliseconds once parsed. As in cheek, case and extra spaces do not matter. */
export const retentionSchema = z
  .string()
  .meta({ example: "30 days" })
  .transform((text, context) => {
    const ms = parseDuration(text.trim().toLowerCase().replaceAll(/\s+/g, " "));
    const isWholeSeconds = ms !== undefined && ms % 1_000 === 0;
    if (isWholeSeconds && ms > 0 && ms <= MAX_RETENTION_MS) return ms;
    context.issues.push({
      code: "custom",
      input: text,
      message: "must be a duration such as 30 days, 2 weeks, 1 hour and 30 minutes or 12h, at most 100 years",
    });
    return z.NEVER;
  });

/** A whole number in a query, in decimal digits. Number() alone would accept "" as 0, and 0x10 and 1e1. */
export function wholeNumberSchema(min: number, max = Number.MAX_SAFE_INTEGER) {
  return z.preprocess((input, context) => {
    if (typeof input === "string" && /^-?\d+$/.test(input)) return Number(input);
    context.issues.push({ code: "custom", input, message: "must be a whole number, given once" });
    return z.NEVER;
  }, z.int().min(min).max(max));
}

/** A boolean in a query: `true` or `false`. */
export const flagSchema = z
  .stringbool({ truthy: ["true"], falsy: ["false"] })
  .meta({ enum: ["true", "false"] });

/** The encoding of the output in cheek files; it has no effect. */
export const encodingSchema = z
  .string()
  .max(50)
  .optional()
  .describe("No effect; accepted because cheek files have it. Output is always read as UTF-8");

/** The name of a pool of workers. */
export const poolSchema = z
  .string()
  .regex(POOL_NAME, {
    error: "must be a name of at most 64 small letters, digits, - and _, with a letter or digit at both ends",
  })
  .meta({ example: "default" });

/** A size such as `512 KiB`, or a number of bytes; in bytes once parsed. */
export function sizeSchema(minBytes: number, maxBytes: number) {
  return z
    .union([z.string(), z.number()])
    .meta({ example: "512KiB" })
    .transform((given, context) => {
      const bytes = typeof given === "number" ? given : parseSize(given);
      if (bytes !== undefined && Number.isInteger(bytes) && bytes >= minBytes && bytes <= maxBytes) {
        return bytes;
      }
      context.issues.push({
        code: "custom",
        input: given,
        message: `must be a size such as 512 KiB or 1 MiB, from ${formatSize(minBytes)} to ${formatSize(maxBytes)}`,
      });
      return z.NEVER;
    });
}

/** A response field that a request may repeat, so that a caller can save what it has read. */
export const readOnlySchema = z
  .unknown()
  .optional()
  .meta({ description: "Ignored in requests", readOnly: true });

export const pageQuerySchema = z.strictObject({
  limit: wholeNumberSchema(1, 200).default(50).describe("Items per page"),
  cursor: z
    .string()
    .max(2_000)
    .optional()
    .describe("`next_cursor` of the previous page; default: the first page"),
});

/** A page of a list. */
export function pageSchema<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next_cursor: z
      .string()
      .nullable()
      .describe("Send it as `cursor` to get the next page; null: last page. Other pages may be short, too"),
  });
}

export const warningsSchema = z
  .array(
    z.object({
      path: z.string().describe("The field, such as `on_error.notify_webhook.0`"),
      message: z.string(),
    }),
  )
  .describe("Problems that did not stop the call: where they are and what they mean");

export type Warning = z.output<typeof warningsSchema>[number];
