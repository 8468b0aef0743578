/** Calls a service over connections that stay open, with as little work as possible, and keeps calls in flight. */
import { Agent, request } from "node:http";

export interface ApiAnswer {
  status: number;
  text: string;
}

export interface ApiClient {
  /** Calls a path below the base, with a JSON body unless it is undefined. */
  call(method: string, path: string, body?: unknown): Promise<ApiAnswer>;
  /** The same, and the answer as JSON. Throws unless the status is 2xx. */
  json<T>(method: string, path: string, body?: unknown): Promise<T>;
  close(): void;
}

/** @param base the address that paths are below, such as `http://127.0.0.1:8081/api/v1` */
export function createApiClient(base: string, token: string): ApiClient {
  const agent = new Agent({ keepAlive: true });
  const call = (method: string, path: string, body?: unknown) =>
    new Promise<ApiAnswer>((resolve, reject) => {
      const sent = body === undefined ? undefined : JSON.stringify(body);
      const headers = {
        authorization: `Bearer ${token}`,
        ...(sent !== undefined && {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(sent),
        }),
      };
      const outgoing = request(`${base}${path}`, { agent, method, headers }, (incoming) => {
        let text = "";
        incoming.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, text }));
        incoming.on("error", reject);
      });
      outgoing.on("error", reject).end(sent);
    });
  return {
    call,
    async json<T>(method: string, path: string, body?: unknown) {
      const { status, text } = await call(method, path, body);
      if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${status} ${text}`);
      return JSON.parse(text) as T;
    },
    close: () => agent.destroy(),
  };
}

/** Repeats work in so many lanes at the same time until the time is over. Returns the seconds until all have ended. */
export async function inLanes(lanes: number, seconds: number, work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  const lane = async () => {
    while (performance.now() - from < seconds * 1_000) await work();
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return (performance.now() - from) / 1_000;
}

/** Does the work and adds the ms that it took to the list. */
export async function timed<T>(ms: number[], work: () => Promise<T>): Promise<T> {
  const from = performance.now();
  const result = await work();
  ms.push(performance.now() - from);
  return result;
}
