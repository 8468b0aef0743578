/** What may be asked of a run's output, and how it is answered. */
import { z } from "zod";
import { CONTENT_RANGE } from "./answer-headers.ts";
import { flagSchema, wholeNumberSchema } from "./fields.ts";
import { logSchema } from "./run.ts";

const MAX_TAIL_LINES = 100_000;

export const logQuerySchema = z.strictObject({
  attempt: z
    .union([wholeNumberSchema(0), z.literal("all")])
    .optional()
    .describe("0 = first; default: the latest, and with `follow` those after it"),
  tail: wholeNumberSchema(0, MAX_TAIL_LINES)
    .optional()
    .describe("Only so many lines at the end, as `tail -n` counts them; with `follow` what comes then, too"),
  follow: flagSchema
    .optional()
    .describe("true: answer what comes, too, until the run has ended; server-sent events do so in any case"),
});

export const logHeadersSchema = z.looseObject({
  range: z
    .string()
    .optional()
    .describe("Such as bytes=0-1023 or bytes=-1024, of the text as it is answered; at most 8 MiB at a time"),
  "last-event-id": z
    .string()
    .regex(/^\d{1,6}:\d{1,15}$/, { error: "must be the id of an event of this stream, such as 0:1024" })
    .transform((id) => {
      const [ordinal = 0, position = 0] = id.split(":").map(Number);
      return { ordinal, position };
    })
    .optional()
    .describe("Events go on right after the one of this id"),
});

/** Events as they are on the wire. */
const eventsSchema = z
  .string()
  .describe(
    "`output`: { attempt, text }, its id a place in the output to go on from; `end`: { state, status }. " +
      "A comment comes every 15 s when there is nothing to say",
  )
  .meta({
    example:
      'event: output\nid: 0:6\ndata: {"attempt":0,"text":"hello\\n"}\n\nevent: end\ndata: {"state":"succeeded","status":0}\n\n',
  });

export const LOG_ANSWERS = {
  200: {
    description: "The output; where bytes were cut out stands a line that says how many",
    content: { "text/plain": { schema: logSchema }, "text/event-stream": { schema: eventsSchema } },
  },
  206: {
    description: "A range of the output",
    headers: CONTENT_RANGE,
    content: { "text/plain": { schema: logSchema } },
  },
};
