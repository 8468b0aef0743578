/** Follows an answer of the API as it comes, at any pace. */
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { TestService } from "./test-service.ts";

/** One server-sent event. */
export interface StreamEvent {
  name: string;
  id: string | undefined;
  data: { attempt?: number; text?: string; state?: string; status?: number | null };
}

export interface Follower extends Disposable {
  status: number;
  headers: IncomingMessage["headers"];
  /** All that came so far. */
  text(): string;
  /** How many bytes that is. */
  bytes(): number;
  events(): StreamEvent[];
  /** Resolves with all of it at the end; rejects when the line is cut. */
  ended: Promise<string>;
  response: IncomingMessage;
}

/** Asks for a path below /api/v1, and resolves when the headers have come. With `paused` nothing is read by itself. */
export async function follow(
  { url, token }: Pick<TestService, "url" | "token">,
  path: string,
  headers: Record<string, string> = {},
  { paused = false } = {},
): Promise<Follower> {
  const call = request(`${url}/api/v1${path}`, {
    agent: false,
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
  const response = await answerTo(call);
  const chunks: Buffer[] = [];
  const ended = Promise.withResolvers<string>();
  // Who does not ask does not mind.
  ended.promise.catch(() => undefined);
  if (!paused) {
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () => ended.resolve(Buffer.concat(chunks).toString()));
  }
  response.on("error", ended.reject);
  const text = () => Buffer.concat(chunks).toString();
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    bytes: () => chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    events: () => readEvents(text()),
    ended: ended.promise,
    response,
    [Symbol.dispose]: () => void call.destroy(),
  };
}

function answerTo(call: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.once("response", resolve);
    call.on("error", reject);
    call.end();
  });
}

/** The whole events of a stream; comments and `retry` are left out. */
function readEvents(stream: string): StreamEvent[] {
  return stream
    .split("\n\n")
    .slice(0, -1)
    .flatMap((block) => {
      const fields = new Map(
        block.split("\n").map((line): [string, string] => {
          const [, name = "", value = ""] = /^([^:]*): ?(.*)$/.exec(line) ?? [];
          return [name, value];
        }),
      );
      const [name, data] = [fields.get("event"), fields.get("data")];
      return name === undefined || data === undefined
        ? []
        : [{ name, id: fields.get("id"), data: JSON.parse(data) }];
    });
}

/** The text that events brought. */
export function eventText(events: readonly StreamEvent[]): string {
  return events.map(({ data }) => data.text ?? "").join("");
}
