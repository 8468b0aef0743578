/** The events of a document and their actions, in and out. */
import { z } from "zod";
import { ACTIONS, EVENTS, type EventAction } from "../../core/job.ts";
import { nameSchema, notYetSchema } from "./fields.ts";

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

const webhooksSchema = z
  .array(
    z.union([
      webhookUrlSchema,
      z.strictObject({ url: webhookUrlSchema, headers: headersSchema.optional(), secret: notYetSchema }),
    ]),
  )
  .max(50)
  .superRefine((targets, context) => {
    for (const [index, target] of targets.entries()) {
      const first = targets.find((other) => webhook(other).url === webhook(target).url);
      if (first === target) continue;
      context.addIssue({
        code: "custom",
        path: [index],
        message: "this URL stands above, with other headers",
      });
    }
  });

const actionsSchema = z
  .strictObject({
    trigger_job: z.array(nameSchema).max(50).optional().describe("Names of jobs to trigger"),
    notify_webhook: webhooksSchema.optional().describe("URLs that get the whole event as JSON"),
    notify_slack_webhook: webhooksSchema.optional(),
    notify_discord_webhook: webhooksSchema.optional(),
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

/** The actions of a document in a fixed order, each once. */
export function eventActions(document: EventsDocument): EventAction[] {
  return EVENTS.flatMap((event) =>
    ACTIONS.flatMap((action) => {
      const targets = (document[event]?.[action] ?? []).map(webhook);
      const distinct = new Map(targets.toReversed().map((target) => [target.url, target])).values();
      return [...distinct].toReversed().map(({ url, headers = {} }) => ({
        event,
        action,
        target: url,
        ...(Object.keys(headers).length > 0 && { headers }),
      }));
    }),
  );
}

/** The events of a document, as they were given. */
export function eventsView(actions: readonly EventAction[]): EventsDocument {
  const ofEvent = (event: EventAction["event"]) => {
    const own = actions.filter((one) => one.event === event);
    const lists = ACTIONS.map((action) => [
      action,
      own
        .filter((one) => one.action === action)
        .map(({ target, headers }) => (headers ? { url: target, headers: { ...headers } } : target)),
    ]);
    return Object.fromEntries(lists.filter(([, targets]) => targets?.length !== 0));
  };
  const used = EVENTS.filter((event) => actions.some((one) => one.event === event));
  return Object.fromEntries(used.map((event) => [event, ofEvent(event)]));
}

function webhook(target: string | { url: string; headers?: Record<string, string> | undefined }) {
  return typeof target === "string" ? { url: target } : target;
}

function isWebhookUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
}
