/** Sends one webhook and says what came of it, whatever the receiver does. */

import { type ClientRequest, Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import got, { type Request, TimeoutError } from "got";
import { textFromBytes } from "../text/cuts.ts";
import { createRedactor, redactText } from "../text/redaction.ts";
import { type AddressGuard, AddressRefused } from "./address-guard.ts";

/** What came of one try. Durations are in ms; `error` is short and for people. */
export type SendResult =
  /** The receiver gave a status, of any kind; `response` is the beginning of its body, at most 2 KiB. */
  | { outcome: "answered"; status: number; durationMs: number; response: string }
  /** No status came: refused, timed out, unknown host, TLS, no HTTP, aborted. */
  | { outcome: "failed"; error: string; durationMs: number }
  /** Nothing was sent because the guard refused the address. */
  | { outcome: "blocked"; error: string; durationMs: number };

/** A JSON body, where to, and what stops it early (shutdown). */
interface Webhook {
  url: string;
  headers?: Readonly<Record<string, string>>;
  body: string;
  signal?: AbortSignal;
  /** What must not stand in the result, whatever the receiver says: patterns of values. */
  hidden?: readonly Buffer[];
}

/** Sends one webhook; never rejects. */
export type Send = (webhook: Webhook) => Promise<SendResult>;

interface SenderOptions {
  guard: AddressGuard;
  /** Limit in ms for one try, from the lookup of the host to the end of the answer. */
  timeoutMs?: number;
  userAgent: string;
}

const READ_BYTES = 64 * 1024;
/** Of all that a receiver says: interim answers, headers and chunk sizes may come without end too. */
const SAID_BYTES = 4 * READ_BYTES;
const RESPONSE_BYTES = 2 * 1024;
const ERROR_LENGTH = 500;

/** Makes the function that sends webhooks: one POST, no redirects, no retries, no proxy, a connection each. */
export function createSender({ guard, timeoutMs = 15_000, userAgent }: SenderOptions): Send {
  const client = got.extend({
    // The agents are our own since Node's shared ones keep connections and may take a proxy from the environment.
    agent: { http: new HttpAgent(), https: new HttpsAgent() },
    dnsLookup: guard.lookup,
    timeout: { request: timeoutMs },
    retry: { limit: 0 },
    followRedirect: false,
    throwHttpErrors: false,
    decompress: false,
    headers: { "content-type": "application/json", "user-agent": userAgent },
  });

  return async ({ url, headers = {}, body, signal, hidden = [] }) => {
    const startedAt = performance.now();
    const durationMs = () => Math.round(performance.now() - startedAt);
    const refusal = guard.checkUrl(url);
    if (refusal !== undefined) {
      return { outcome: "blocked", error: redactText(refusal, hidden), durationMs: durationMs() };
    }
    try {
      const request = client.stream.post(new URL(url), { headers, body, ...(signal && { signal }) });
      const answer = await readAnswer(request, hidden);
      return { outcome: "answered", ...answer, durationMs: durationMs() };
    } catch (error) {
      const outcome = causeOf(error) instanceof AddressRefused ? "blocked" : "failed";
      return { outcome, error: explain(error, timeoutMs, hidden), durationMs: durationMs() };
    }
  };
}

async function readAnswer(
  request: Request,
  hidden: readonly Buffer[],
): Promise<{ status: number; response: string }> {
  const redactor = createRedactor(hidden);
  const chunks: Uint8Array[] = [];
  let size = 0;
  // After a 101 got would wait until the time is over.
  const switched = new Error("the receiver switched protocols instead of answering");
  request.once("upgrade", () => request.destroy(switched));
  limitWhatIsSaid(request);
  try {
    for await (const chunk of request) {
      chunks.push(redactor.write(chunk));
      size += chunk.length;
      if (size >= READ_BYTES) break;
    }
    // Where an answer is broken off, what was kept back may be the beginning of a value.
    if (size < READ_BYTES) chunks.push(redactor.end());
  } catch (error) {
    // With a status the receiver has answered, however its body ends.
    if (request.response === undefined) throw error;
  } finally {
    request.destroy();
  }
  if (request.response === undefined) throw new Error("the connection was closed without an answer");
  return { status: request.response.statusCode, response: beginning(Buffer.concat(chunks)) };
}

/** Ends a request whose receiver talks on beside its answer; it could keep this process busy until the time is over. */
function limitWhatIsSaid(request: Request): void {
  const tooMuch = new Error(`the receiver sent ${SAID_BYTES / 1024} KiB that were no answer`);
  request.once("request", (sent: ClientRequest) => {
    sent.once("socket", (socket) => {
      let said = 0;
      socket.on("data", (bytes: Uint8Array) => {
        said += bytes.length;
        if (said > SAID_BYTES) request.destroy(tooMuch);
      });
    });
  });
}

/** The first 2 KiB, cut between two characters. */
function beginning(bytes: Uint8Array): string {
  let end = Math.min(bytes.length, RESPONSE_BYTES);
  // A byte 10xxxxxx continues a character, of which it is the fourth byte at most.
  const continues = (index: number) => ((bytes[index] ?? 0) & 0xc0) === 0x80;
  while (continues(end) && end > RESPONSE_BYTES - 3) end--;
  return textFromBytes(bytes.subarray(0, end));
}

/** What lies under the error that got makes of it. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? error.cause : error;
}

function explain(error: unknown, timeoutMs: number, hidden: readonly Buffer[]): string {
  if (error instanceof TimeoutError) return `no answer within ${timeoutMs / 1000} s`;
  const cause = causeOf(error);
  // Where a host has several addresses, Node tells the failure of each and no more.
  const failures = cause instanceof AggregateError ? cause.errors : [cause];
  const text = failures
    .map((failure) => (failure instanceof Error ? failure.message : String(failure)))
    .join("; ")
    .replace(/^.*:SSL routines:[^:]*:([^:]+):.*$/s, "TLS: $1");
  // Names in a certificate are the receiver's own text, of any length and kind.
  return textFromBytes(Buffer.from(redactText(text, hidden).slice(0, ERROR_LENGTH)));
}
