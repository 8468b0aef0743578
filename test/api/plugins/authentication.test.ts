/** Tests of authentication: the forms of a token, what is public, and the documentation with a password. */
import type { FastifyInstance } from "fastify";
import request from "supertest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BEARER, listen, TOKEN } from "../../support/tiny-api.ts";

let app: FastifyInstance;
const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

beforeAll(async () => {
  ({ app } = await listen({ limits: { failedLogins: 1_000 } }));
});
afterAll(() => app.close());

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

  test("only public routes are open, for HEAD as for GET", async () => {
    await request(app.server).head("/healthz").expect(200);
    await request(app.server).head("/private/a").expect(401);
    await request(app.server).post("/healthz").expect(401);
  });
});

describe("the documentation", () => {
  const pages = ["/openapi.json", "/docs", "/docs/", "/docs/json", "/docs/static/swagger-ui.css"];
  test.each(pages)("%s also accepts the token as a password", async (path) => {
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

  test("refuses unknown files and paths that leave its folder", async () => {
    for (const name of ["nothing", "..%2f..%2fpackage.json", "..%2findex.js", "%00", ".."]) {
      const answer = await request(app.server).get(`/docs/static/${name}`).set("Authorization", BEARER);
      expect([400, 404]).toContain(answer.status);
    }
    const part = request(app.server).get("/docs/static/swagger-ui.css").set("Authorization", BEARER);
    await part.set("Range", "bytes=99999999-").expect(400);
  });
});
