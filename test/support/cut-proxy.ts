/** A TCP proxy before Postgres that can be cut like a cable: nothing passes, and neither side is told. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from "node:net";
import { join } from "node:path";

export interface CutProxy extends AsyncDisposable {
  /** Leads to the same database, by way of the proxy. */
  connectionString: string;
  /** Connections stay open and new ones are taken, but all are silent from now on. */
  cut(): void;
  /** From now on Postgres does not hear that a client ends its connection. */
  hideEnds(): void;
  /** The connections that there are fall silent for good, as when a firewall forgets them; new ones pass. */
  forget(): void;
  /** What was held back passes, the ends of connections included; those that were forgotten stay silent. */
  heal(): void;
}

/** What a client says last. */
const TERMINATE = Buffer.from("X\0\0\0\x04");

/** Starts a proxy on a free port of 127.0.0.1. */
export async function startCutProxy(connectionString: string): Promise<CutProxy> {
  const target = addressOf(connectionString);
  const sockets = new Set<Socket>();
  const waiting = new Set<Socket>();
  const forgotten = new WeakSet<Socket>();
  let isCut = false;
  let hidesEnds = false;

  const own = (socket: Socket) => {
    sockets.add(socket);
    // The other end may break off: that is what the proxy is for.
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
    return socket;
  };
  const pass = (from: Socket, to: Socket) => {
    from.on("data", (chunk) => {
      if (hidesEnds && TERMINATE.equals(chunk)) return;
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => {
      if (!isCut && !forgotten.has(from)) from.resume();
    });
    from.once("end", () => {
      if (!hidesEnds) to.end();
    });
    from.once("close", () => to.destroy());
  };
  const link = (client: Socket) => {
    const server = own(connect(target));
    pass(client, server);
    pass(server, client);
    if (isCut) for (const socket of [client, server]) socket.pause();
  };

  const listener = createServer({ allowHalfOpen: true }, (client) => {
    own(client);
    if (isCut) waiting.add(client.pause());
    else link(client);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;

  return {
    connectionString: proxiedUrl(connectionString, port),
    cut() {
      isCut = true;
      for (const socket of sockets) socket.pause();
    },
    forget() {
      for (const socket of sockets) forgotten.add(socket.pause());
    },
    hideEnds() {
      hidesEnds = true;
    },
    heal() {
      isCut = false;
      for (const client of waiting) link(client);
      waiting.clear();
      for (const socket of sockets) if (!forgotten.has(socket)) socket.resume();
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const socket of sockets) socket.destroy();
      await once(listener, "close");
    },
  };
}

/** A server on a socket file has its folder in the parameter `host`. */
export function addressOf(connectionString: string): NetConnectOpts {
  const { hostname, port, searchParams } = new URL(connectionString);
  const folder = searchParams.get("host");
  if (folder?.startsWith("/")) {
    return { path: join(folder, `.s.PGSQL.${searchParams.get("port") ?? (port || "5432")}`) };
  }
  return { host: decodeURIComponent(hostname), port: Number(port || "5432") };
}

/** Leads to the same database, by way of a proxy on a port of 127.0.0.1. */
export function proxiedUrl(connectionString: string, port: number): string {
  const url = new URL(connectionString);
  for (const name of ["host", "port"]) url.searchParams.delete(name);
  url.hostname = "127.0.0.1";
  url.port = String(port);
  return url.href;
}
