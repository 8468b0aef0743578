/** The guard: host names, origins, tokens, and the headers of every answer. */
import type { FastifyInstance } from "fastify";
import request from "supertest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BEARER, listen, sendRaw, TOKEN } from "../../support/tiny-api.ts";

let app: FastifyInstance;
let port: number;
const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

beforeAll(async () => {
  const allowedHosts = ["carillon.example", "Bells.example:8443"];
  ({ app, port } = await listen({ allowedHosts, limits: { failedLogins: 1_000 } }));
});
afterAll(() => app.close());

describe("Host", () => {
  const own = ["localhost:PORT", "LOCALHOST:PORT", "127.0.0.1:PORT", "[::1]:PORT"];
  const allowed = ["carillon.example", "carillon.example:9", "CARILLON.example", "bells.example:8443"];
  test.each([...own, ...allowed])("%s is ours", async (host) => {
    await request(app.server)
      .get("/healthz")
      .set("Host", host.replace("PORT", String(port)))
      .expect(200);
  });

  const foreign = [
    "evil.example",
    "evil.example:PORT",
    "localhost",
    "localhost:1",
    "localhost.evil.example:PORT",
  ];
  const tricky = [
    "bells.example",
    "bells.example:1",
    "127.0.0.1:PORT@evil.example",
    "x.carillon.example",
    "[::1]",
  ];
  test.each([...foreign, ...tricky])("%s is foreign, on public and unknown routes too", async (host) => {
    for (const path of ["/healthz", "/nowhere", "/private/a", "/%zz"]) {
      const answer = await request(app.server)
        .get(path)
        .set("Host", host.replace("PORT", String(port)))
        .set("Authorization", BEARER);
      expect(answer.status).toBe(403);
      expect(answer.body.code).toBe("foreign_host");
    }
  });

  test.each([
    ["a missing Host", ""],
    ["two Hosts", "Host: carillon.example\r\nHost: evil.example\r\n"],
    ["an empty Host", "Host:\r\n"],
  ])("%s is refused", async (_, lines) => {
    const answer = await sendRaw(port, `GET /healthz HTTP/1.1\r\n${lines}Connection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 403 .*"code":"foreign_host"/s);
  });
});

describe("Origin and Sec-Fetch-Site", () => {
  test.each([
    ["Origin", "http://127.0.0.1:PORT"],
    ["Origin", "https://127.0.0.1:PORT"],
    ["Sec-Fetch-Site", "same-origin"],
    ["Sec-Fetch-Site", "none"],
  ])("%s: %s passes", async (name, value) => {
    await request(app.server)
      .get("/healthz")
      .set(name, value.replace("PORT", String(port)))
      .expect(200);
  });

  const foreign = [
    "http://evil.example",
    "null",
    "http://127.0.0.1:1",
    "http://127.0.0.1",
    "http://localhost:PORT",
  ];
  const odd = ["ftp://127.0.0.1:PORT", "http://127.0.0.1:PORT, http://evil.example", "127.0.0.1:PORT", "x"];
  test.each([
    ...[...foreign, ...odd].map((origin) => ["Origin", origin]),
    ["Sec-Fetch-Site", "cross-site"],
    ["Sec-Fetch-Site", "none, cross-site"],
  ])("%s: %s is refused whatever the method", async (name = "", value = "") => {
    for (const method of ["get", "post", "put", "patch", "delete", "options"] as const) {
      const answer = await request(app.server)
        [method]("/healthz")
        .set(name, value.replace("PORT", String(port)))
        .set("Authorization", BEARER);
      expect(answer.status).toBe(403);
      expect(answer.body.code).toBe("foreign_origin");
      expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
    }
  });

  test("a proxy that adds the default port keeps the origin its own", async () => {
    const call = request(app.server).get("/healthz").set("Host", "carillon.example:443");
    await call.set("Origin", "https://carillon.example").expect(200);
  });
});

describe("the token", () => {
  test.each([BEARER, `bearer ${TOKEN}`, `BEARER  ${TOKEN}`])("%s opens a route", async (header) => {
    await request(app.server).get("/private/a").set("Authorization", header).expect(200);
  });

  const near = [
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    `Bearer ${TOKEN.toUpperCase()}`,
    "Bearer ",
  ];
  const other = [TOKEN, `Token ${TOKEN}`, `Bearer${TOKEN}`, `Bearer ${TOKEN} x`, basic(`any:${TOKEN}`), ""];
  test.each([...near, ...other, `Bearer ${"x".repeat(9000)}`])("%s does not", async (header) => {
    const answer = await request(app.server).get("/private/a").set("Authorization", header);
    expect(answer.status).toBe(401);
    expect(answer.body.code).toBe("unauthorized");
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
  });

  test.each(["/private/a", "/nowhere", "/healthz/", "/HEALTHZ", "/%zz", `/private/${"x".repeat(600)}`])(
    "%s tells a stranger nothing",
    async (path) => {
      await request(app.server).get(path).expect(401);
      await request(app.server).post(path).send({ a: 1 }).expect(401);
    },
  );

  test("only what is marked public is, for HEAD as for GET", async () => {
    await request(app.server).head("/healthz").expect(200);
    await request(app.server).head("/private/a").expect(401);
    await request(app.server).post("/healthz").expect(401);
  });
});

describe("the documentation", () => {
  const pages = ["/openapi.json", "/docs", "/docs/", "/docs/json", "/docs/static/swagger-ui.css"];
  test.each(pages)("%s takes the token as a password as well", async (path) => {
    await request(app.server)
      .get(path)
      .set("Authorization", basic(`any:${TOKEN}`))
      .expect(200);
    await request(app.server)
      .head(path)
      .set("Authorization", basic(`:${TOKEN}`))
      .expect(200);
    await request(app.server).get(path).set("Authorization", BEARER).expect(200);
    for (const wrong of [basic(TOKEN), basic(`${TOKEN}:`), basic(`any:${TOKEN}x`), "Basic !"]) {
      await request(app.server).get(path).set("Authorization", wrong).expect(401);
    }
    const answer = await request(app.server).get(path);
    expect(answer.headers["www-authenticate"]).toBe('Bearer, Basic realm="carillon"');
  });

  test("a file that it does not have is not found, and no way out of its folder", async () => {
    for (const name of ["nothing", "..%2f..%2fpackage.json", "..%2findex.js", "%00", ".."]) {
      const answer = await request(app.server).get(`/docs/static/${name}`).set("Authorization", BEARER);
      expect([400, 404]).toContain(answer.status);
    }
    const part = request(app.server).get("/docs/static/swagger-ui.css").set("Authorization", BEARER);
    await part.set("Range", "bytes=99999999-").expect(400);
  });
});

test("what the HTTP parser refuses has the headers of any other answer", async () => {
  const usual = await sendRaw(
    port,
    `GET /list HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`,
  );
  const refused = await sendRaw(port, "hello\r\n\r\n");
  const lines = (answer: string) => answer.split("\r\n\r\n")[0]?.split("\r\n").slice(1) ?? [];
  const own = /^(content-length|content-type|www-authenticate|date|connection):/i;
  const expected = lines(usual).filter((line) => !own.test(line));
  expect(expected.length).toBeGreaterThan(10);
  expect(lines(refused)).toEqual(expect.arrayContaining(expected));
});

test("every answer carries the security headers", async () => {
  for (const path of ["/healthz", "/private/a", "/nowhere", "/%zz", "/throws", "/docs"]) {
    for (const token of [BEARER, "none"]) {
      const { headers } = await request(app.server).get(path).set("Authorization", token);
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["referrer-policy"]).toBe("no-referrer");
      expect(headers["cache-control"]).toBe("no-store");
      expect(headers["content-security-policy"]).toContain("default-src 'none';script-src 'self';");
    }
  }
});
