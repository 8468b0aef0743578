/** Tests of which hosts and origins are its own, on every route: any other gets 403. */
import type { FastifyInstance } from "fastify";
import request from "supertest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BEARER, listen, sendRaw } from "../../support/tiny-api.ts";

let app: FastifyInstance;
let port: number;

beforeAll(async () => {
  const allowedHosts = ["carillon.example", "Bells.example:8443"];
  ({ app, port } = await listen({ allowedHosts, limits: { failedLogins: 1_000 } }));
});
afterAll(() => app.close());

describe("Host", () => {
  const own = ["localhost:PORT", "LOCALHOST:PORT", "127.0.0.1:PORT", "[::1]:PORT"];
  const allowed = ["carillon.example", "carillon.example:9", "CARILLON.example", "bells.example:8443"];
  test.each([...own, ...allowed])("%s is accepted", async (host) => {
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
  test.each([...foreign, ...tricky])("%s is refused, even on public and unknown routes", async (host) => {
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

  test("an origin is accepted behind a proxy that adds the default port to Host", async () => {
    const call = request(app.server).get("/healthz").set("Host", "carillon.example:443");
    await call.set("Origin", "https://carillon.example").expect(200);
  });
});
