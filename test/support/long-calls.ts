/** Calls that are answered for long: a follower, an answer that nobody reads, and a wait. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Readable } from "node:stream";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Grant } from "../../src/access/rules/grants.ts";

/** More than the sockets between client and server hold. */
const LARGE = Buffer.alloc(16 * 1_024 * 1_024, "x");

/** Any token is right, and its own id. */
export const grants = async (token: string): Promise<Grant> => ({
  id: token,
  name: token,
  scopes: ["admin"],
  jobs: [],
});

/** The routes, and how many calls were begun and are still being answered. */
export function answering() {
  let begun = 0;
  let open = 0;
  const routes: FastifyPluginAsyncZod = async (app) => {
    app.get("/healthz", { config: { public: true, unlimited: true } }, async () => "ok");
    app.addHook("preHandler", async (request, reply) => {
      if (request.routeOptions.config.public === true) return;
      begun += 1;
      open += 1;
      reply.raw.once("close", () => {
        open -= 1;
      });
    });
    app.get("/follow", { config: { long: true } }, async (_, reply) => reply.send(endless()));
    app.get("/never-read", async (_, reply) => reply.send(LARGE));
    app.get(
      "/wait",
      { schema: { querystring: z.strictObject({ wait: z.coerce.number().optional() }) } },
      async ({ query }, reply) => reply.send(query.wait === undefined ? "now" : endless()),
    );
  };
  return { routes, begun: () => begun, open: () => open };
}

function endless(): Readable {
  const text = new Readable({ read() {} });
  text.push("followed\n");
  return text;
}

/** Connects and asks for paths at once, with a token. Nothing is read unless the caller does. */
export async function get(port: number, path: string, token: string, ...more: string[]): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  // The server may cut it at any time.
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.pause();
  const head = `Host: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n`;
  socket.write([path, ...more].map((one) => `GET ${one} HTTP/1.1\r\n${head}\r\n`).join(""));
  return socket;
}
