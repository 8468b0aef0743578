/** The query, headers and responses of the call that reads the output of a run. */
import { z } from "zod";
import { CONTENT_RANGE } from "./answer-headers.ts";
import { flagSchema, wholeNumberSchema } from "./fields.ts";
import { logSchema } from "./run.ts";

const MAX_TAIL_LINES = 100_000;

export const logQuerySchema = z.strictObject({
  attempt: z
    .union([wholeNumberSchema(0), z.literal("all")])
    .optional()
    .describe(
      "The attempt to read, 0 = first, or `all`. Default: the latest; with `follow` also those after it",
    ),
  tail: wholeNumberSchema(0, MAX_TAIL_LINES)
    .optional()
    .describe(
      "Return only this many lines from the end, counted as `tail -n` does, but a carriage return ends a line too; `follow` then adds the new output",
    ),
  follow: flagSchema
    .optional()
    .describe(
      "`true`: keep the response open and send new output until the run has ended. Server-sent events always do so",
    ),
});

export const logHeadersSchema = z.looseObject({
  range: z
    .string()
    .optional()
    .describe(
      "A range of bytes of the text, such as `bytes=0-1023` or `bytes=-1024`; at most 8 MiB per response",
    ),
  "last-event-id": z
    .string()
    .regex(/^\d{1,6}:\d{1,15}$/, { error: "must be the id of an event in this stream, such as 0:1024" })
    .transform((id) => {
      const [ordinal = 0, position = 0] = id.split(":").map(Number);
      return { ordinal, position };
    })
    .optional()
    .describe("The stream continues after the event with this id"),
});

/** The server-sent events of the output. */
const eventsSchema = z
  .string()
  .describe(
    "Event `output`: { attempt, text }; its id is the position to continue from. Event `end`: { state, status }. " +
      "A comment line every 15 s keeps an idle connection open",
  )
  .meta({
    example:
      'event: output\nid: 0:6\ndata: {"attempt":0,"text":"hello\\n"}\n\nevent: end\ndata: {"state":"succeeded","status":0}\n\n',
  });

export const LOG_ANSWERS = {
  200: {
    description: "The output; a line marks where bytes were cut out, and how many",
    content: { "text/plain": { schema: logSchema }, "text/event-stream": { schema: eventsSchema } },
  },
  206: {
    description: "A range of the output",
    headers: CONTENT_RANGE,
    content: { "text/plain": { schema: logSchema } },
  },
};
