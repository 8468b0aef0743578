/** What callers without a token learn: nothing, whichever route, method or body they try. */
import type { FastifyInstance } from "fastify";
import request from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import packageJson from "../../../package.json" with { type: "json" };
import { listen } from "../../support/tiny-api.ts";

let app: FastifyInstance;
beforeAll(async () => {
  ({ app } = await listen());
});
afterAll(() => app.close());

const METHODS = ["get", "head", "post", "put", "patch", "delete", "options"] as const;
const PATHS = ["/private/a", "/private/%00", "/list?limit=x", "/echo", "/broken", "/nowhere", "/%zz"];
const BODIES = [
  ["application/json", "{}"],
  ["application/json", "{"],
  ["text/plain", "x"],
  ["application/json", JSON.stringify("x".repeat(300_000))],
] as const;

describe.each(METHODS)("%s without a token", (method) => {
  it.each([...PATHS, `/private/${"x".repeat(600)}`])(
    "gets the same response for %s as for any other path",
    async (path) => {
      const plain = await request(app.server)[method](path);
      const answers = [plain];
      for (const [type, body] of method === "get" || method === "head" ? [] : BODIES) {
        answers.push(await request(app.server)[method](path).set("Content-Type", type).send(body));
      }
      for (const { status, headers, body, text } of answers) {
        expect(status).toBe(401);
        expect(headers["www-authenticate"]).toBe("Bearer");
        expect(headers).not.toHaveProperty("allow");
        expect(headers).not.toHaveProperty("server");
        expect(JSON.stringify([headers, text ?? ""])).not.toContain(packageJson.version);
        if (method === "head") continue;
        expect(body).toEqual({
          type: "urn:carillon:problem:unauthorized",
          title: "A valid token is required",
          status: 401,
          detail: "Send the header Authorization: Bearer <token>.",
          instance: path.split("?")[0],
          code: "unauthorized",
        });
      }
    },
  );
});

it("the documentation differs only in that it also asks for a password", async () => {
  for (const path of ["/docs", "/docs/json", "/openapi.json", "/docs/static/swagger-ui.css"]) {
    const { status, body, headers } = await request(app.server).get(path);
    expect(status).toBe(401);
    expect(body.code).toBe("unauthorized");
    expect(headers["www-authenticate"]).toBe('Bearer, Basic realm="carillon"');
  }
});
