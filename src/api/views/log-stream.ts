/** Output on its way to a caller: as plain text or as server-sent events, no faster than the caller takes it. */

import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import type { LogStep } from "../../logs/follow.ts";

/** Without anything else to say, events are followed by a comment after so long, in ms: proxies keep the line. */
const HEARTBEAT_MS = 15_000;
/** How soon a client that lost the line is to come back, in ms. */
const RETRY_MS = 1_000;
/** For callers that take nothing while the service stops, in ms. */
const FAREWELL_MS = 1_000;

/**
 * The text of steps. An empty one comes first, which sends the headers.
 * @param cutOff called when the steps stop before the end of the run, which a text cannot say
 */
export async function* plainText(steps: AsyncIterable<LogStep>, cutOff?: () => void): AsyncGenerator<string> {
  yield "";
  let hasEnded = false;
  for await (const step of steps) {
    if (step.kind === "output") yield step.text;
    hasEnded = step.kind === "end";
  }
  if (!hasEnded) cutOff?.();
}

/** Steps as events `output`, whose id is a place to read on from, and `end`. */
export async function* eventStream(
  steps: AsyncIterable<LogStep>,
  now: () => number = () => performance.now(),
): AsyncGenerator<string> {
  yield `retry: ${RETRY_MS}\n\n`;
  let sentAt = now();
  for await (const step of steps) {
    if (step.kind === "idle" && now() - sentAt < HEARTBEAT_MS) continue;
    yield eventOf(step);
    sentAt = now();
  }
}

function eventOf(step: LogStep): string {
  switch (step.kind) {
    case "output": {
      const { attempt, at, text } = step;
      const data = JSON.stringify({ attempt, text });
      return `event: output\nid: ${at.ordinal}:${at.position}\ndata: ${data}\n\n`;
    }
    case "idle":
      return ": nothing new\n\n";
    case "end":
      return `event: end\ndata: ${JSON.stringify({ state: step.state, status: step.status })}\n\n`;
  }
}

/** Sends texts as they come. When `closing` is aborted they are to end; a caller who does not take them is cut off. */
export function sendTexts(
  reply: FastifyReply,
  texts: AsyncGenerator<string>,
  closing: AbortSignal,
): FastifyReply {
  const { raw, request } = reply;
  if (request.method === "HEAD") return reply.send(Readable.from([]));
  let farewell: NodeJS.Timeout | undefined;
  const onClosing = () => {
    farewell = setTimeout(() => raw.destroy(), FAREWELL_MS);
  };
  closing.addEventListener("abort", onClosing, { once: true });
  raw.once("close", () => {
    clearTimeout(farewell);
    closing.removeEventListener("abort", onClosing);
  });
  // So that a caller who has vanished without a word is noticed.
  raw.socket?.setKeepAlive(true, HEARTBEAT_MS);
  return reply.header("x-accel-buffering", "no").send(Readable.from(texts));
}
