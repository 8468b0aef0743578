/** The events of a document and their actions, in requests and responses. */
import { z } from "zod";
import { secretTarget } from "../../jobs/rules/definition.ts";
import { nameSchema, secretNameSchema } from "./fields.ts";

const MAX_URL_LENGTH = 2_048;
const MAX_HEADERS = 20;
const MAX_HEADER_LENGTH = 4_096;

/** Headers that Carillon sets itself, or that would change how the request is framed. */
const OWN_HEADERS =
  /^(?:host|content-length|content-type|user-agent|transfer-encoding|te|trailer|connection|keep-alive|upgrade|expect|proxy-.*|webhook-.*)$/i;

const webhookUrlSchema = z
  .string()
  .refine(isWebhookUrl, { error: "must be an http or https URL without a user name or password" })
  .overwrite(asciiUrl)
  .max(MAX_URL_LENGTH)
  .meta({ example: "https://example.org/hook" });

const headersSchema = z
  .record(
    z
      .string()
      .regex(/^[\w!#$%&'*+.^`|~-]{1,100}$/, { error: "must be the name of a header, such as Authorization" })
      .refine((name) => !OWN_HEADERS.test(name), { error: "must not be a header that Carillon sets itself" }),
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
    { error: "two names differ only in upper and lower case" },
  )
  .describe(`Additional headers of the request, at most ${MAX_HEADERS}`);

const signingSchema = z
  .union([
    secretNameSchema,
    z
      .tuple([secretNameSchema, secretNameSchema])
      .refine(([one, other]) => one !== other, { error: "must be two different secrets" }),
  ])
  .optional()
  .describe(
    "The name of the secret that signs the request (Standard Webhooks). Two names during a rotation: the request then has two signatures",
  );

const unsignedSchema = z
  .never({ error: "only notify_webhook supports signatures: Slack and Discord do not check them" })
  .optional()
  .describe("Not supported: only `notify_webhook` has signatures");

const signedWebhooksSchema = webhooksSchema(signingSchema);
const chatWebhooksSchema = webhooksSchema(unsignedSchema);

function webhooksSchema<Secret extends typeof signingSchema | typeof unsignedSchema>(secret: Secret) {
  return z
    .array(
      z.union([
        webhookUrlSchema,
        z.strictObject({
          url: z
            .union([webhookUrlSchema, z.strictObject({ secret: secretNameSchema })])
            .describe("The URL, or the name of a secret that contains it"),
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
          message: "an earlier target has the same URL with other headers or another secret",
        });
      }
    });
}

const actionsSchema = z
  .strictObject({
    trigger_job: z.array(nameSchema).max(50).optional().describe("Names of the jobs to trigger; at most 50"),
    notify_webhook: signedWebhooksSchema
      .optional()
      .describe("URLs that receive the whole event as JSON; at most 50"),
    notify_slack_webhook: chatWebhooksSchema.optional().describe("URLs of Slack webhooks; at most 50"),
    notify_discord_webhook: chatWebhooksSchema.optional().describe("URLs of Discord webhooks; at most 50"),
  })
  .meta({ id: "EventActions" });

/** The three events of a job or a schedule. */
export const eventFields = {
  on_success: actionsSchema.optional().describe("Actions after an attempt that succeeded"),
  on_error: actionsSchema.optional().describe("Actions after each attempt that failed"),
  on_retries_exhausted: actionsSchema
    .optional()
    .describe(
      "Actions after the last attempt of a job with retries has failed, in addition to those of `on_error`",
    ),
};

/** The events of a document. */
export type EventsDocument = { [Event in keyof typeof eventFields]?: z.output<(typeof eventFields)[Event]> };

/** A webhook target in its long form. */
export interface Webhook {
  url: string | { secret: string };
  headers?: Record<string, string> | undefined;
  secret?: string | [string, string] | undefined;
}

/** Returns the URL of a target, or the `secretTarget` of a URL that is a secret. */
export function targetOf(target: string | Pick<Webhook, "url">): string {
  const url = typeof target === "string" ? target : target.url;
  return typeof url === "string" ? url : secretTarget(url.secret);
}

/** The form in which a URL is sent: with an escaped path and an encoded host name. Others keep the user's spelling. */
function asciiUrl(text: string): string {
  return /^[\x21-\x7e]*$/.test(text) ? text : (URL.parse(text)?.href ?? text);
}

function isWebhookUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
}
