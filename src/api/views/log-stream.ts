/** Streams output to a caller as plain text or server-sent events, no faster than the caller reads it. */

import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import type { LogStep } from "../../logs/follow.ts";

/** A comment follows this long (ms) after the last event, so that proxies keep an idle connection open. */
const HEARTBEAT_MS = 15_000;
/** How long (ms) a disconnected client should wait before it reconnects. */
const RETRY_MS = 1_000;
/** How long (ms) a stopping service waits for callers that read nothing. */
const FAREWELL_MS = 1_000;

/**
 * Returns the text of steps. The first text is empty; it makes the server send the headers.
 * @param cutOff called when the steps stop before the end of the run, which plain text cannot express
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

/** Converts steps to the events `output`, whose id is the position to continue from, and `end`. */
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

/** Sends texts as they arrive. After `closing` is aborted, a caller that does not read them within 1 s is disconnected. */
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
  // Keepalive probes detect callers that disappeared without closing the connection.
  raw.socket?.setKeepAlive(true, HEARTBEAT_MS);
  return reply.header("x-accel-buffering", "no").send(Readable.from(texts));
}
