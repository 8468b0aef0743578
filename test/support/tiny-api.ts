/** A small API on a real port, to test what stands around the routes. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import type { FastifyInstance } from "fastify";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { type AppOptions, buildApp } from "../../src/api/app.ts";
import { problems } from "../../src/api/schemas/problem.ts";

export const TOKEN = "the-right-token";
export const BEARER = `Bearer ${TOKEN}`;

const retry = z.strictObject({ limit: z.int(), delay: z.string().optional() });
const job = z
  .strictObject({
    command: z.union([z.string(), z.array(z.string())]),
    cron: z.string().optional(),
    retry: z.union([z.int(), retry]).optional(),
  })
  .meta({ id: "TinyJob" });
const document = z.strictObject({ jobs: z.record(z.string().regex(/^[a-z]+$/), job) }).optional();

const routes: FastifyPluginAsyncZod = async (app) => {
  app.get("/healthz", { config: { public: true, unlimited: true } }, async () => ({ ok: true }));
  app.get(
    "/private/:name",
    { schema: { params: z.object({ name: z.string().regex(/^[a-z]+$/) }) } },
    async () => "private",
  );
  app.get(
    "/list",
    { schema: { querystring: z.strictObject({ limit: z.coerce.number().optional() }) } },
    async () => [],
  );
  app.post("/echo", async (request) => ({ body: request.body ?? "absent" }));
  app.put(
    "/schedule",
    { schema: { body: document, response: { 200: z.string(), ...problems(422) } } },
    async () => "saved",
  );
  app.get("/broken", { schema: { response: { 200: z.strictObject({ a: z.string() }) } } }, async () => {
    return JSON.parse('{"a":1,"leak":"internal-detail"}');
  });
  app.get("/throws", async () => {
    throw new Error("internal-detail");
  });
};

/** Listens on a free loopback port; the caller closes it. Routes are for admins where they say nothing else. */
export async function listen(
  options: Partial<AppOptions> = {},
): Promise<{ app: FastifyInstance; port: number }> {
  const { routes: given = routes } = options;
  const scoped: FastifyPluginAsyncZod = async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...(!route.config?.public && { scope: "admin" }), ...route.config };
    });
    await scope.register(given);
  };
  const app = await buildApp({ token: TOKEN, ...options, routes: scoped });
  await app.listen({ port: 0, host: "127.0.0.1" });
  return { app, port: (app.server.address() as AddressInfo).port };
}

/** Sends bytes as they are and gives back all that is answered until the server closes the connection. */
export async function sendRaw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  socket.setEncoding("utf8").on("data", (chunk) => {
    answer += chunk;
  });
  socket.write(bytes);
  await once(socket, "close");
  return answer;
}
