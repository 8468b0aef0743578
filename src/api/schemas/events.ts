/** The events of a document and their actions, in and out. */
import { z } from "zod";
import { secretTarget } from "../../jobs/rules/definition.ts";
import { nameSchema, secretNameSchema } from "./fields.ts";

const MAX_URL_LENGTH = 2_048;
const MAX_HEADERS = 20;
const MAX_HEADER_LENGTH = 4_096;

/** What is ours to say, or would change how the request is framed. */
const OWN_HEADERS =
  /^(?:host|content-length|content-type|user-agent|transfer-encoding|te|trailer|connection|keep-alive|upgrade|expect|proxy-.*|webhook-.*)$/i;

const webhookUrlSchema = z
  .string()
  .max(MAX_URL_LENGTH)
  .refine(isWebhookUrl, { error: "must be an http or https URL without a user name or password" })
  .meta({ example: "https://example.org/hook" });

const headersSchema = z
  .record(
    z
      .string()
      .regex(/^[\w!#$%&'*+.^`|~-]{1,100}$/, { error: "must be the name of a header such as Authorization" })
      .refine((name) => !OWN_HEADERS.test(name), { error: "is a header that Carillon sets itself" }),
    z
      .string()
      .max(MAX_HEADER_LENGTH)
      .regex(/^[\t\x20-\x7e]*$/, { error: "must be printable ASCII" }),
  )
  .refine((headers) => Object.keys(headers).length <= MAX_HEADERS, {
    error: `at most ${MAX_HEADERS} headers`,
  })
  .refine(
    (headers) =>
      new Set(Object.keys(headers).map((name) => name.toLowerCase())).size === Object.keys(headers).length,
    { error: "a header stands twice, in other letters" },
  )
  .describe("Sent beside ours");

const signingSchema = z
  .union([
    secretNameSchema,
    z
      .tuple([secretNameSchema, secretNameSchema])
      .refine(([one, other]) => one !== other, { error: "two names of one secret" }),
  ])
  .optional()
  .describe("Names the secret that signs it, by Standard Webhooks; two names while one replaces the other");

const unsignedSchema = z
  .never({ error: "only notify_webhook is signed: Slack and Discord do not look at signatures" })
  .optional()
  .describe("Only notify_webhook is signed");

const signedWebhooksSchema = webhooksSchema(signingSchema);
const chatWebhooksSchema = webhooksSchema(unsignedSchema);

function webhooksSchema<Secret extends typeof signingSchema | typeof unsignedSchema>(secret: Secret) {
  return z
    .array(
      z.union([
        webhookUrlSchema,
        z.strictObject({
          url: z.union([webhookUrlSchema, z.strictObject({ secret: secretNameSchema })]),
          headers: headersSchema.optional(),
          secret,
        }),
      ]),
    )
    .max(50)
    .superRefine((targets, context) => {
      for (const [index, target] of targets.entries()) {
        const first = targets.find((other) => targetOf(other) === targetOf(target));
        if (first === target) continue;
        context.addIssue({
          code: "custom",
          path: [index],
          message: "this URL stands above, with other headers or another secret",
        });
      }
    });
}

const actionsSchema = z
  .strictObject({
    trigger_job: z.array(nameSchema).max(50).optional().describe("Names of jobs to trigger"),
    notify_webhook: signedWebhooksSchema.optional().describe("URLs that get the whole event as JSON"),
    notify_slack_webhook: chatWebhooksSchema.optional(),
    notify_discord_webhook: chatWebhooksSchema.optional(),
  })
  .meta({ id: "EventActions" });

/** The three events, on a job or on a schedule. */
export const eventFields = {
  on_success: actionsSchema.optional().describe("After an attempt that succeeded"),
  on_error: actionsSchema.optional().describe("After each attempt that failed"),
  on_retries_exhausted: actionsSchema
    .optional()
    .describe("Once, when a job with retries has failed its last attempt"),
};

/** The events of a document. */
export type EventsDocument = { [Event in keyof typeof eventFields]?: z.output<(typeof eventFields)[Event]> };

/** A target as a document has it. */
export interface Webhook {
  url: string | { secret: string };
  headers?: Record<string, string> | undefined;
  secret?: string | [string, string] | undefined;
}

export function targetOf(target: string | Pick<Webhook, "url">): string {
  const url = typeof target === "string" ? target : target.url;
  return typeof url === "string" ? url : secretTarget(url.secret);
}

function isWebhookUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
}
