/** What web pages may make a browser send: every method, body type and Accept, refused whatever the route. */
import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import type { FastifyInstance } from "fastify";
import request from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BEARER, listen, TOKEN } from "../../support/tiny-api.ts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/** Those whose bodies are read. */
const WITH_BODY = ["POST", "PUT", "PATCH", "DELETE"];
const ACCEPTS = ["application/json", "text/event-stream"];
const FORMS: [type: string, body: string][] = [
  ["text/plain", '{"command":"true"}'],
  ["text/plain;charset=UTF-8", "x"],
  ["application/x-www-form-urlencoded", "command=true"],
  [
    "multipart/form-data; boundary=b",
    '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n',
  ],
  ["text/plain; application/json", "{}"],
  ["application/octet-stream", "{}"],
];
const BODIES: [type: string, body: string][] = [
  ["", ""],
  ["application/json", '{"command":"true"}'],
  ["application/yaml", "command: x"],
  ...FORMS,
];
/** What gives a page away; a browser writes these headers, not the page. */
const FOREIGN: Record<string, Record<string, string>> = {
  "a foreign Host": { Host: "evil.example" },
  "our name at another port as Host": { Host: "localhost:1" },
  "a foreign Origin": { Origin: "https://evil.example" },
  "the Origin null, of a sandbox or a file": { Origin: "null" },
  "another port of this machine as Origin": { Origin: "http://127.0.0.1:1" },
  "a cross-site call without Origin": { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors" },
  "a cross-site EventSource": {
    Origin: "https://evil.example",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
  },
  "a cross-site frame": {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "iframe",
  },
};
const CALLS = METHODS.flatMap((method) =>
  // A browser sends no body with GET and HEAD.
  (method === "GET" || method === "HEAD" ? BODIES.slice(0, 1) : BODIES).flatMap(([type, body]) =>
    ACCEPTS.map((accept) => ({ method, type, body, accept })),
  ),
);

const agent = new Agent({ keepAlive: true, maxSockets: 20 });
let app: FastifyInstance;
let port: number;
let handled = 0;
beforeAll(async () => {
  ({ app, port } = await listen({
    routes: async (scope) => {
      scope.all("/private", async () => ++handled);
      scope.all("/public", { config: { public: true } }, async () => ++handled);
      scope.get("/events", async (_, reply) => {
        handled += 1;
        return reply.type("text/event-stream").send("data: secret\n\n");
      });
    },
  }));
});
afterAll(() => {
  agent.destroy();
  return app.close();
});

type Call = (typeof CALLS)[number];

/** What an answer lets other sites do. */
const grants = (headers: object) => Object.keys(headers).filter((name) => name.startsWith("access-control-"));

/** One of thousands, so on connections that stay. */
async function send({ method, type, body, accept }: Call, path: string, headers: Record<string, string>) {
  const call = httpRequest({ agent, port, method, path, headers: { Accept: accept, ...headers } });
  if (body !== "") call.setHeader("Content-Type", type).setHeader("Content-Length", body.length);
  call.end(body);
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  return { status: answer.statusCode, headers: answer.headers, text: await text(answer) };
}

describe.each(Object.keys(FOREIGN))("%s", (what) => {
  it.each(["/private", "/public", "/events", "/nowhere", "/docs", "/openapi.json", "/%zz"])(
    "opens %s to no method, body type or Accept, even with the token",
    async (path) => {
      const before = handled;
      const sent = CALLS.map(async (call) => ({
        ...call,
        ...(await send(call, path, { ...FOREIGN[what], Authorization: BEARER })),
      }));
      const answers = await Promise.all(sent);
      expect(answers.filter(({ status }) => status !== 403)).toEqual([]);
      expect(answers.filter(({ headers }) => grants(headers).length > 0)).toEqual([]);
      expect(handled).toBe(before);
    },
  );
});

describe("a page of the service itself", () => {
  const own = { "Sec-Fetch-Site": "same-origin", Authorization: BEARER };

  it.each(FORMS)("may not send %s either", async (type, body) => {
    const before = handled;
    for (const method of WITH_BODY) {
      for (const accept of ACCEPTS) {
        const { status } = await send({ method, type, body, accept }, "/private", own);
        expect({ method, accept, status }).toEqual({ method, accept, status: 415 });
      }
    }
    expect(handled).toBe(before);
  });

  it("gets JSON and events with the token, and nothing without", async () => {
    const call = { method: "POST", type: "application/json", body: "{}", accept: "*/*" };
    expect((await send(call, "/private", own)).status).toBe(200);
    expect((await send(call, "/private", { ...own, Authorization: "" })).status).toBe(401);
    const events = { method: "GET", type: "", body: "", accept: "text/event-stream" };
    expect((await send(events, "/events", own)).text).toBe("data: secret\n\n");
    expect((await send(events, "/events", { ...own, Authorization: "" })).status).toBe(401);
  });

  it("gets no preflight accepted, because a preflight carries no token", async () => {
    const answer = await request(app.server)
      .options("/private")
      .set({ "Sec-Fetch-Site": "same-site", "Access-Control-Request-Method": "POST" });
    expect(answer.status).toBe(401);
    expect(grants(answer.headers)).toEqual([]);
  });
});

describe("a link from another site", () => {
  const followed = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    Authorization: `Basic ${Buffer.from(`:${TOKEN}`).toString("base64")}`,
  };

  it("leads to the documentation", async () => {
    await request(app.server).get("/docs").set(followed).expect(200);
    await request(app.server)
      .get("/docs")
      .set({ ...followed, Authorization: "" })
      .expect(401);
  });

  it.each([
    ["/private", "get", {}],
    ["/public", "get", {}],
    ["/nowhere", "get", {}],
    ["/docs", "head", {}],
    ["/docs", "post", {}],
    ["/docs", "get", { "Sec-Fetch-Dest": "iframe" }],
    ["/docs", "get", { "Sec-Fetch-Mode": "no-cors" }],
    ["/docs", "get", { Origin: "https://evil.example" }],
    ["/docs", "get", { Host: "evil.example" }],
    ["/docs", "get", { "Sec-Fetch-Site": "cross-site, none" }],
  ] as const)("to %s by %s with %j leads nowhere", async (path, method, headers) => {
    await request(app.server)
      [method](path)
      .set({ ...followed, ...headers })
      .expect(403);
  });
});
