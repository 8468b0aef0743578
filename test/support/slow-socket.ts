/** A client that keeps a connection for as long as it may with as little as it can: a byte at a time, or nothing. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** What it has sent of a request when it becomes slow. */
export type Stage = "nothing" | "head" | "body";

const HEAD = (port: number) =>
  `POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`;
const BEGUN: Record<Stage, (port: number) => string> = {
  nothing: () => "",
  head: (port) => `${HEAD(port)}X-Slow: `,
  body: (port) => `${HEAD(port)}Content-Length: 100000\r\n\r\n{"a":"`,
};

/** Connects and begins. Rejects where the connection is refused; what comes later is told by `close` alone. */
export async function slowSocket(port: number, stage: Stage): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  // The server may cut it at any time.
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.resume();
  const begun = BEGUN[stage](port);
  if (begun !== "") socket.write(begun);
  return socket;
}
