/** Sends the same GET again and again over open sockets, and does little else: the client must not be what is measured. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** The times in ms of all responses, and how long the whole took in seconds. */
export interface Responses {
  ms: number[];
  seconds: number;
}

const END_OF_HEAD = "\r\n\r\n";

/** Calls a path over so many connections until the time is over. Throws for a status other than 200. */
export async function getAgain(
  url: URL,
  headers: Readonly<Record<string, string>>,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<Responses> {
  const lines = Object.entries({ host: url.host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  const request = Buffer.from(`GET ${url.pathname} HTTP/1.1\r\n${lines.join("\r\n")}${END_OF_HEAD}`);
  const ms: number[] = [];
  const from = performance.now();
  const lane = async () => {
    const socket = connect(Number(url.port), url.hostname).setNoDelay();
    await once(socket, "connect");
    while (performance.now() - from < seconds * 1_000) {
      const sentAt = performance.now();
      socket.write(request);
      await wholeResponse(socket);
      ms.push(performance.now() - sentAt);
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return { ms, seconds: (performance.now() - from) / 1_000 };
}

/** Resolves when a whole response has come. It must name its length. */
function wholeResponse(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    const end = (error?: Error) => {
      socket.off("data", read).off("error", end).off("close", closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const closed = () => end(new Error("the connection was closed"));
    const read = (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const head = received.indexOf(END_OF_HEAD);
      if (head === -1) return;
      const text = received.toString("latin1", 0, head);
      if (!text.startsWith("HTTP/1.1 200")) return end(new Error(text));
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1]);
      if (Number.isNaN(length)) return end(new Error(`no length: ${text}`));
      if (received.length >= head + END_OF_HEAD.length + length) end();
    };
    socket.on("data", read).on("error", end).on("close", closed);
  });
}
