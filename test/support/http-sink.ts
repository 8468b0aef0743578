/** A real HTTP server on loopback that records what it receives and answers as a test wants. */
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** One request as it came in. */
interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  at: Date;
}

/** Answers a request that has been read and recorded. */
export type Handler = (request: Received, response: ServerResponse) => void;

/** Answers with a status. */
export function answer(status: number, body = "", headers: Record<string, string> = {}): Handler {
  return (_request, response) => void response.writeHead(status, headers).end(body);
}

/** Answers with a status and all that it was sent. */
export function echo(status: number, more = ""): Handler {
  return ({ path, headers, body }, response) =>
    void response.writeHead(status).end(`${path} ${more} ${JSON.stringify(headers)} ${body}`);
}

/** Never answers. */
export const hang: Handler = () => {};

/** Closes the connection without an answer. */
export const drop: Handler = (_request, response) => void response.destroy();

/** Answers each request by the next handler, and by the last one from then on. */
export function inTurn(...handlers: [Handler, ...Handler[]]): Handler {
  let turn = 0;
  return (request, response) => handlers[Math.min(turn++, handlers.length - 1)]?.(request, response);
}

/** A running sink; `await using` stops it. */
export interface Sink extends AsyncDisposable {
  /** Replace it to answer otherwise from now on. */
  handler: Handler;
  readonly received: readonly Received[];
  /** TCP connections accepted so far, with or without a request. */
  readonly connections: number;
  readonly port: number;
  url(path?: string): string;
  /** The first request that matches and that no earlier call has taken; rejects after `deadlineMs`. */
  next(matches?: (request: Received) => boolean, deadlineMs?: number): Promise<Received>;
  /** All requests, once there are at least `count`; rejects after `deadlineMs`. */
  waitFor(count: number, deadlineMs?: number): Promise<readonly Received[]>;
}

const DEADLINE_MS = 10_000;

/** Starts a sink on a free port of 127.0.0.1. */
export async function startSink(handler: Handler = answer(200)): Promise<Sink> {
  const received: Received[] = [];
  const taken = new Set<Received>();
  const arrivals = new EventEmitter().setMaxListeners(0);
  let connections = 0;

  const server = createServer((message, response) => {
    read(message).then(
      (request) => {
        received.push(request);
        sink.handler(request, response);
        arrivals.emit("request");
      },
      () => response.destroy(), // The caller has gone in the middle of its body.
    );
  });
  server.on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  async function until<T>(wanted: string, probe: () => T | undefined, deadlineMs: number): Promise<T> {
    const deadline = AbortSignal.timeout(deadlineMs);
    for (;;) {
      const found = probe();
      if (found !== undefined) return found;
      await once(arrivals, "request", { signal: deadline }).catch(() => {
        const seen = received.map(({ method, path }) => `${method} ${path}`).join(", ");
        throw new Error(`no ${wanted} within ${deadlineMs} ms; received: ${seen || "nothing"}`);
      });
    }
  }

  const sink: Sink = {
    handler,
    received,
    port,
    get connections() {
      return connections;
    },
    url: (path = "/") => `http://127.0.0.1:${port}${path}`,
    next(matches = () => true, deadlineMs = DEADLINE_MS) {
      const take = () => {
        const request = received.find((one) => !taken.has(one) && matches(one));
        if (request !== undefined) taken.add(request);
        return request;
      };
      return until("such request", take, deadlineMs);
    },
    waitFor: (count, deadlineMs = DEADLINE_MS) =>
      until(`${count} requests`, () => (received.length >= count ? received : undefined), deadlineMs),
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return sink;
}

async function read(message: IncomingMessage): Promise<Received> {
  const { method = "", url: path = "", headers } = message;
  return { method, path, headers, body: await text(message), at: new Date() };
}
