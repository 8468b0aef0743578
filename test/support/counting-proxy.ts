/** A TCP proxy before Postgres that counts round trips: how often a client speaks after the server has spoken. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { addressOf, proxiedUrl } from "./cut-proxy.ts";

export interface CountingProxy extends AsyncDisposable {
  /** Leads to the same database, by way of the proxy. */
  connectionString: string;
  /** The round trips so far, on all connections. */
  roundTrips(): number;
}

/** Starts a proxy on a free port of 127.0.0.1. */
export async function startCountingProxy(connectionString: string): Promise<CountingProxy> {
  const target = addressOf(connectionString);
  const sockets = new Set<Socket>();
  let roundTrips = 0;
  const listener = createServer((client) => {
    const server = connect(target);
    let serverSpokeLast = true;
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy()).once("close", () => sockets.delete(socket));
    }
    client.on("data", () => {
      if (serverSpokeLast) roundTrips++;
      serverSpokeLast = false;
    });
    server.on("data", () => {
      serverSpokeLast = true;
    });
    client.pipe(server).pipe(client);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  return {
    connectionString: proxiedUrl(connectionString, port),
    roundTrips: () => roundTrips,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}
