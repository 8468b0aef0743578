/** Sends one webhook over HTTP and returns the result, whatever the receiver does. */

import type { ClientRequest } from "node:http";
import got, { type Request, TimeoutError } from "got";
import { headInBytes, startInUnits, textFromBytes } from "../text/cuts.ts";
import { createRedactor, redactText } from "../text/redaction.ts";
import { type AddressGuard, AddressRefused } from "./address-guard.ts";
import { createAgents } from "./agents.ts";

/** The result of one HTTP request. Durations are in ms; `error` is short and shown to users. */
export type SendResult =
  /** The receiver sent a status, of any kind; `response` is the start of its body, at most 2 KiB. */
  | { outcome: "answered"; status: number; durationMs: number; response: string }
  /** No status arrived: refused, timed out, unknown host, TLS error, not HTTP, aborted. */
  | { outcome: "failed"; error: string; durationMs: number }
  /** Nothing was sent because the guard refused the address. */
  | { outcome: "blocked"; error: string; durationMs: number };

/** The request to make; `body` is JSON, and `signal` aborts it. */
interface Webhook {
  url: string;
  headers?: Readonly<Record<string, string>>;
  body: string;
  signal?: AbortSignal;
  /** Patterns that are redacted from the result. */
  hidden?: readonly Buffer[];
}

/** Sends one webhook; never rejects. */
export type Send = (webhook: Webhook) => Promise<SendResult>;

interface SenderOptions {
  guard: AddressGuard;
  /** Limit in ms for one request, from the DNS lookup to the end of the response; default 15,000. */
  timeoutMs?: number;
  userAgent: string;
}

/** Bytes read of a response body. */
const READ_BYTES = 64 * 1024;
/** Bytes accepted from a receiver in total: interim responses, headers and chunk sizes may be endless too. */
const MAX_RECEIVED_BYTES = 4 * READ_BYTES;
const RESPONSE_BYTES = 2 * 1024;
const ERROR_LENGTH = 500;

/**
 * Creates the function that sends webhooks: one POST each, without redirects, retries or proxy. A POST is sent again only
 * when the receiver has closed a kept connection without an answer, as it may do at any time.
 */
export function createSender({ guard, timeoutMs = 15_000, userAgent }: SenderOptions): Send {
  const client = got.extend({
    agent: createAgents(true),
    dnsLookup: guard.lookup,
    timeout: { request: timeoutMs },
    retry: { limit: 0 },
    followRedirect: false,
    throwHttpErrors: false,
    decompress: false,
    headers: { "content-type": "application/json", "user-agent": userAgent },
  });

  const unshared = client.extend({ agent: createAgents(false) });

  return async ({ url, headers = {}, body, signal, hidden = [] }) => {
    const startedAt = performance.now();
    const durationMs = () => Math.round(performance.now() - startedAt);
    const refusal = guard.checkUrl(url);
    if (refusal !== undefined) {
      return { outcome: "blocked", error: redactText(refusal, hidden), durationMs: durationMs() };
    }
    try {
      const options = { headers, body, ...(signal && { signal }) };
      const answer = await readAnswer(client.stream.post(new URL(url), options), hidden).catch((error) => {
        if (!(error instanceof StaleConnection)) throw error;
        return readAnswer(unshared.stream.post(new URL(url), options), hidden);
      });
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
  // After a 101 response got would wait until the timeout.
  const switched = new Error("the receiver switched protocols instead of answering");
  request.once("upgrade", () => request.destroy(switched));
  const connection = watchConnection(request);
  try {
    for await (const chunk of request) {
      chunks.push(redactor.write(chunk));
      size += chunk.length;
      if (size >= READ_BYTES) break;
    }
    // In a truncated response, the bytes that the redactor holds back may be the start of a secret.
    if (size < READ_BYTES) chunks.push(redactor.end());
  } catch (error) {
    // With a status the receiver has answered, even if its body is broken.
    if (request.response === undefined) throw connection.wasStale(error) ? new StaleConnection() : error;
  } finally {
    request.destroy();
  }
  if (request.response === undefined) throw new Error("the connection was closed without an answer");
  const body = Buffer.concat(chunks);
  const kept = body.length > RESPONSE_BYTES ? headInBytes(body, RESPONSE_BYTES) : body;
  return { status: request.response.statusCode, response: textFromBytes(kept) };
}

/** The receiver has closed a kept connection, and may not have seen the request. */
class StaleConnection extends Error {
  override readonly name = "StaleConnection";
}

/**
 * Aborts a request whose receiver sends too much besides the body; it could keep this process busy until the timeout.
 * `wasStale` tells from an error whether a kept connection was closed before the receiver sent anything.
 */
function watchConnection(request: Request): { wasStale(error: unknown): boolean } {
  let isReused = false;
  let received = 0;
  const tooMuch = new Error(`the receiver sent more than ${MAX_RECEIVED_BYTES / 1024} KiB without an answer`);
  request.once("request", (sent: ClientRequest) => {
    sent.once("socket", (socket) => {
      isReused = sent.reusedSocket;
      const count = (bytes: Uint8Array) => {
        received += bytes.length;
        if (received > MAX_RECEIVED_BYTES) request.destroy(tooMuch);
      };
      socket.on("data", count);
      // The next request on this connection counts for itself.
      sent.once("close", () => socket.off("data", count));
    });
  });
  const wasStale = (error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    return isReused && received === 0 && (code === "ECONNRESET" || code === "EPIPE");
  };
  return { wasStale };
}

/** Returns the error that got wrapped. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? error.cause : error;
}

function explain(error: unknown, timeoutMs: number, hidden: readonly Buffer[]): string {
  if (error instanceof TimeoutError) return `no answer within ${timeoutMs / 1000} s`;
  const cause = causeOf(error);
  // For a host with several addresses, Node reports one failure per address and nothing else.
  const failures = cause instanceof AggregateError ? cause.errors : [cause];
  const text = failures
    .map((failure) => (failure instanceof Error ? failure.message : String(failure)))
    .join("; ")
    .replace(/^.*:SSL routines:[^:]*:([^:]+):.*$/s, "TLS: $1");
  // The error may quote names of the certificate, which the receiver controls.
  return textFromBytes(Buffer.from(startInUnits(redactText(text, hidden), ERROR_LENGTH)));
}
