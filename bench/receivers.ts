/** Receives webhooks on several loopback addresses, each a host of its own, and counts them. */
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/** Receivers that answer 200 at once. */
export interface Receivers {
  /** The addresses, each with another host. */
  urls: string[];
  /** Requests received so far. */
  count(): number;
}

/** Starts so many receivers, until the end of the benchmark. */
export async function openReceivers(stack: AsyncDisposableStack, hosts: number): Promise<Receivers> {
  let count = 0;
  const urls: string[] = [];
  for (let host = 1; host <= hosts; host++) {
    const server = createHttpServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      request.resume().on("end", () => {
        count += 1;
        response.end();
      });
    });
    stack.defer(() => void server.closeAllConnections());
    urls.push(await listen(stack, server, `127.0.0.${host}`));
  }
  return { urls, count: () => count };
}

/** Starts a host that accepts connections and never says anything, until the end of the benchmark. */
export async function openBlackHole(stack: AsyncDisposableStack, address: string): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.resume().on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  stack.defer(() => {
    for (const socket of sockets) socket.destroy();
  });
  return listen(stack, server, address);
}

async function listen(stack: AsyncDisposableStack, server: Server, address: string): Promise<string> {
  server.listen(0, address);
  await once(server, "listening");
  stack.defer(() => void server.close());
  return `http://${address}:${(server.address() as AddressInfo).port}`;
}
