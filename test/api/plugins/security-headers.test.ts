/** Tests of the security headers, which every response carries. */
import type { FastifyInstance } from "fastify";
import request from "supertest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BEARER, listen, sendRaw } from "../../support/tiny-api.ts";

let app: FastifyInstance;
let port: number;

beforeAll(async () => {
  ({ app, port } = await listen());
});
afterAll(() => app.close());

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
