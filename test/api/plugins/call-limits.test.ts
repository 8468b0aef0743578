/** Limits of rate: calls for each token, wrong tokens from each address, and whose address it is behind a proxy. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { json } from "node:stream/consumers";
import type { FastifyInstance } from "fastify";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AppOptions } from "../../../src/api/app.ts";
import { problemSchema } from "../../../src/api/schemas/problem.ts";
import { BEARER, listen, TOKEN } from "../../support/tiny-api.ts";

const WRONG = "Bearer wrong";
let app: FastifyInstance | undefined;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(async () => {
  vi.useRealTimers();
  await app?.close();
});

interface Call {
  path?: string;
  auth?: string | undefined;
  /** What X-Forwarded-For says. */
  from?: string;
}

/** Starts an API; answers a call's status. */
async function start(options: Partial<AppOptions>) {
  const started = await listen({ behindProxy: true, ...options });
  app = started.app;
  const ask = async ({ path = "/list", auth, from = "192.0.2.1" }: Call) => {
    const headers = { "x-forwarded-for": from, ...(auth && { authorization: auth }) };
    const call = request({ port: started.port, path, headers, host: "127.0.0.1" });
    call.end();
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    return { status: answer.statusCode, retryAfter: answer.headers["retry-after"], body: await json(answer) };
  };
  const status = async (call: Call) => (await ask(call)).status;
  return { ask, status };
}

/** The statuses of so many equal calls, one after the other. */
async function repeat(times: number, call: () => Promise<number | undefined>) {
  const statuses = [];
  for (let i = 0; i < times; i++) statuses.push(await call());
  return statuses;
}

const of = (status: number, times: number) => Array.from({ length: times }, () => status);

describe("calls with a token", () => {
  it("may be ten times the limit in ten seconds; further calls get 429 until those have passed", async () => {
    const { ask, status } = await start({ limits: { callsPerSecond: 1 } });
    expect(await repeat(10, () => status({ auth: BEARER }))).toEqual(of(200, 10));
    vi.setSystemTime(Date.now() + 4_000);
    const refused = await ask({ auth: BEARER });
    expect(refused).toMatchObject({ status: 429, retryAfter: "6" });
    expect(problemSchema.strict().parse(refused.body).code).toBe("rate_limited");
    vi.setSystemTime(Date.now() + 6_000);
    expect(await status({ auth: BEARER })).toBe(200);
  });

  it("count together however the token is sent, from whichever address", async () => {
    const { status } = await start({ limits: { callsPerSecond: 1 } });
    const basic = `Basic ${Buffer.from(`x:${TOKEN}`).toString("base64")}`;
    expect(await repeat(9, () => status({ auth: BEARER }))).toEqual(of(200, 9));
    expect(await status({ path: "/docs/json", auth: basic, from: "192.0.2.2" })).toBe(200);
    expect(await status({ path: "/docs/json", auth: basic, from: "192.0.2.3" })).toBe(429);
    expect(await status({ path: "/nowhere", auth: `bearer  ${TOKEN}` })).toBe(429);
  });

  it("are accepted while others flood without a token, who are counted by address", async () => {
    const { status } = await start({ limits: { callsPerSecond: 1 } });
    expect(await repeat(12, () => status({}))).toEqual([...of(401, 10), ...of(429, 2)]);
    expect(await status({ path: "/%zz" })).toBe(429);
    expect(await status({ from: "192.0.2.2" })).toBe(401);
    expect(await status({ auth: BEARER })).toBe(200);
  });

  it("never block a liveness probe", async () => {
    const { status } = await start({ limits: { callsPerSecond: 1, failedLogins: 1 } });
    await repeat(12, () => status({}));
    await repeat(3, () => status({ auth: WRONG }));
    expect(await repeat(12, () => status({ path: "/healthz" }))).toEqual(of(200, 12));
    expect(await status({ path: "/healthz", auth: WRONG })).toBe(200);
  });

  it("may by default be hundreds at once", async () => {
    const { status } = await start({});
    expect(await repeat(500, () => status({ auth: BEARER }))).toEqual(of(200, 500));
  });
});

describe("wrong tokens", () => {
  it("may by default be five a minute; then the address gets 429 until the minute is over", async () => {
    const { ask, status } = await start({});
    expect(await repeat(5, () => status({ auth: WRONG }))).toEqual(of(401, 5));
    vi.setSystemTime(Date.now() + 20_000);
    const refused = await ask({ auth: WRONG });
    expect(refused).toMatchObject({ status: 429, retryAfter: "40", body: { code: "rate_limited" } });
    expect(await status({ auth: BEARER })).toBe(429);
    expect(await status({ path: "/nowhere", auth: BEARER })).toBe(429);
    expect(await status({ path: "/%zz", auth: BEARER })).toBe(429);
    vi.setSystemTime(Date.now() + 40_000);
    expect(await status({ auth: BEARER })).toBe(200);
  });

  it("from one address do not block other addresses, or tokens that were accepted from that address before", async () => {
    const { status } = await start({});
    expect(await status({ auth: BEARER })).toBe(200);
    await repeat(20, () => status({ auth: WRONG }));
    expect(await status({ auth: WRONG })).toBe(429);
    expect(await status({ auth: BEARER })).toBe(200);
    expect(await status({ auth: BEARER, from: "192.0.2.2" })).toBe(200);
    expect(await status({ auth: WRONG, from: "192.0.2.2" })).toBe(401);
  });

  it("cause at most five look-ups when they arrive all at once", async () => {
    const looked = Promise.withResolvers<undefined>();
    const findGrant = vi.fn(() => looked.promise);
    const { status } = await start({ findGrant });
    const statuses = Promise.all(
      Array.from({ length: 30 }, (_, index) => status({ auth: `${WRONG}${index}` })),
    );
    await expect.poll(() => findGrant.mock.calls.length).toBe(5);
    // Whatever was asked before has been looked at by now.
    expect(await repeat(30, () => status({ path: "/healthz" }))).toEqual(of(200, 30));
    looked.resolve(undefined);
    expect((await statuses).toSorted()).toEqual([...of(401, 5), ...of(429, 25)]);
    expect(findGrant).toHaveBeenCalledTimes(5);
  });

  it("do not block right tokens that arrive at the same moment", async () => {
    const { status } = await start({
      findGrant: async (token) => ({ id: token, name: token, scopes: ["admin"], jobs: [] }),
    });
    const tokens = Array.from({ length: 30 }, (_, index) => `Bearer right${index % 10}`);
    expect(await Promise.all(tokens.map((auth) => status({ auth })))).toEqual(of(200, 30));
  });

  it("are also counted when the URL cannot be decoded", async () => {
    const { status } = await start({ limits: { failedLogins: 2 } });
    expect(await repeat(3, () => status({ path: "/%zz", auth: WRONG }))).toEqual([401, 401, 429]);
  });

  it("do not include calls without a token, such as a browser's first call", async () => {
    const { status } = await start({ limits: { failedLogins: 1 } });
    expect(await repeat(5, () => status({ path: "/docs" }))).toEqual(of(401, 5));
    expect(await status({ auth: BEARER })).toBe(200);
  });
});

describe("the address of the client", () => {
  /** How often a wrong token is looked at when each call says that it comes from elsewhere. */
  const tried = async (behindProxy: boolean, forwarded: readonly string[]) => {
    const { status } = await start({ behindProxy, limits: { failedLogins: 1 } });
    const statuses = [];
    for (const one of forwarded) statuses.push(await status({ auth: WRONG, from: one }));
    return statuses.filter((one) => one === 401).length;
  };

  it("is that of the peer when no proxy is configured: X-Forwarded-For is ignored", async () => {
    expect(await tried(false, ["192.0.2.1", "192.0.2.2", "192.0.2.3"])).toBe(1);
  });

  it("is the one that the proxy added last, behind one proxy", async () => {
    expect(await tried(true, ["192.0.2.1", "192.0.2.2", "192.0.2.3"])).toBe(3);
    await app?.close();
    expect(await tried(true, ["10.0.0.1, 192.0.2.1", "10.0.0.2, 192.0.2.1", "10.0.0.3 ,192.0.2.1"])).toBe(1);
  });

  it("is the proxy's own when the proxy adds none, or adds an invalid one", async () => {
    expect(await tried(true, [" ", "unknown", "192.0.2.1, ", "evil", "192.0.2.1:", "[192"])).toBe(1);
  });

  it("is the same when a proxy writes it with a port or in brackets", async () => {
    expect(await tried(true, ["192.0.2.1", "192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:5678"])).toBe(3);
    await app?.close();
    expect(
      await tried(true, ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80", "[::1]:80", "[2001:db8:1::]"]),
    ).toBe(3);
  });

  it("is the /64 network in IPv6, because one customer has all of it", async () => {
    expect(await tried(true, ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::", "2001:db8:0:1::1"])).toBe(
      2,
    );
  });

  it("is the only value accepted from a proxy: neither host nor scheme", async () => {
    const { app: behind, port } = await listen({
      behindProxy: true,
      routes: async (scope) => {
        scope.get("/who", async ({ host, protocol, clientAddress }) => ({ host, protocol, clientAddress }));
      },
    });
    app = behind;
    const answer = await fetch(`http://127.0.0.1:${port}/who`, {
      headers: {
        ...{ authorization: BEARER, "x-forwarded-for": "192.0.2.1", forwarded: "for=192.0.2.2" },
        ...{ "x-forwarded-host": "evil.example", "x-forwarded-proto": "https" },
      },
    });
    const who = { host: `127.0.0.1:${port}`, protocol: "http", clientAddress: "192.0.2.1" };
    expect(await answer.json()).toEqual(who);
  });
});
