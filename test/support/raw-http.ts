/** Requests as bytes, for what no HTTP client would send. */
import { once } from "node:events";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import type { TestService } from "./test-service.ts";

export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  status: number;
  /** Of a problem. */
  code: string | undefined;
  body: string;
}

/**
 * Sends a request and reads the first answer to it. Our host and token go along, and the length of the body unless
 * the headers say how long it is.
 */
export async function ask(
  { url, token }: TestService,
  line: string,
  headers: readonly string[] = [],
  body: string | Buffer = "",
): Promise<RawAnswer> {
  const { host, port } = new URL(url);
  const bytes = Buffer.from(body);
  const framed = headers.some((header) => /^(content-length|transfer-encoding)\b/i.test(header));
  const length = framed || bytes.length === 0 ? [] : [`Content-Length: ${bytes.length}`];
  const own = [`Host: ${host}`, `Authorization: Bearer ${token}`, "Connection: close"];
  const head = [line, ...own, ...headers, ...length, "", ""].join("\r\n");
  return exchange(Number(port), Buffer.concat([Buffer.from(head, "latin1"), bytes]));
}

async function exchange(port: number, request: Buffer): Promise<RawAnswer> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.write(request);
  const [head = "", ...rest] = (await buffer(socket)).toString().split("\r\n\r\n");
  const body = rest.join("\r\n\r\n");
  const isProblem = /^content-type: application\/problem\+json/im.test(head);
  const code = isProblem ? String(JSON.parse(body).code) : undefined;
  return { status: Number(head.split(" ")[1] ?? 0), code, body };
}
