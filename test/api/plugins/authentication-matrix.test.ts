/** Every route, with every kind of credential and every method: who gets in, and who does not. */
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildApp } from "../../../src/api/app.ts";
import { makeToken } from "../../support/make-token.ts";
import { routeTable } from "../../support/route-table.ts";
import { startTestService, type TestService } from "../../support/test-service.ts";

/** Who may call which route. A new route wants a row. */
const ACCESS: Record<string, string> = {
  "GET /": "read",
  "GET /healthz": "public",
  "GET /readyz": "public",
  "GET /version": "public",
  "GET /api/v1/jobs": "read",
  "POST /api/v1/jobs": "admin",
  "POST /api/v1/jobs/validate": "admin",
  "GET /api/v1/jobs/:name": "read",
  "PUT /api/v1/jobs/:name": "admin",
  "PATCH /api/v1/jobs/:name": "admin",
  "DELETE /api/v1/jobs/:name": "admin",
  "GET /api/v1/jobs/:name/next": "read",
  "GET /api/v1/next": "read",
  "GET /api/v1/jobs/:name/revisions": "read",
  "GET /api/v1/jobs/:name/revisions/:number": "read",
  "POST /api/v1/jobs/:name/pause": "admin",
  "POST /api/v1/jobs/:name/resume": "admin",
  "POST /api/v1/jobs/:name/trigger": "trigger",
  "GET /api/v1/jobs/:name/runs": "read",
  "GET /api/v1/runs": "read",
  "GET /api/v1/runs/:id": "read or trigger",
  "GET /api/v1/runs/:id/log": "read or trigger",
  "GET /api/v1/runs/:id/tree": "read",
  "POST /api/v1/runs/:id/cancel": "admin",
  "POST /api/v1/runs/:id/rerun": "admin",
  "GET /api/v1/deliveries": "read",
  "GET /api/v1/deliveries/:id": "read",
  "POST /api/v1/deliveries/:id/redeliver": "admin",
  "GET /api/v1/schedules": "read",
  "GET /api/v1/schedules/:name": "read",
  "PUT /api/v1/schedules/:name": "admin",
  "PATCH /api/v1/schedules/:name": "admin",
  "DELETE /api/v1/schedules/:name": "admin",
  "GET /api/v1/secrets": "read",
  "PUT /api/v1/secrets/:name": "admin",
  "DELETE /api/v1/secrets/:name": "admin",
  "POST /api/v1/secrets/rotate": "admin",
  "GET /api/v1/tokens": "admin",
  "POST /api/v1/tokens": "admin",
  "GET /api/v1/tokens/:name": "admin",
  "DELETE /api/v1/tokens/:name": "admin",
  "GET /api/v1/audit": "admin",
  "GET /api/v1/stats": "read",
};

const NOBODY = "01890000-0000-7000-8000-000000000000";
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const STRANGERS = ["none", "empty", "malformed", "basic", "wrong", "expired", "revoked"];

const routes = await routeTable();
const rows = routes.map((route) => ({ ...route, line: `${route.method} ${route.url}` }));

let service: TestService;
let run: string;
const headers: Record<string, string | undefined> = {};

beforeAll(async () => {
  service = await startTestService({ ROLES: "api", FAILED_LOGIN_LIMIT: "1000000", RATE_LIMIT: "1000000" });
  await service.client.putJob("coffee", { command: "true" });
  await service.client.putJob("tea", { command: "true" });
  run = (await service.client.trigger("coffee")).id;
  const bearer = async (name: string, asked: object) => `Bearer ${await makeToken(service, name, asked)}`;
  headers["none"] = undefined;
  headers["empty"] = "Bearer ";
  headers["malformed"] = `Token ${service.token}`;
  headers["basic"] = `Basic ${Buffer.from(`any:${service.token}`).toString("base64")}`;
  headers["wrong"] = `Bearer crl_${"x".repeat(43)}`;
  headers["expired"] = await bearer("expired", { scopes: ["admin"], expires_in: "1h" });
  await service.prisma.$executeRaw`UPDATE token SET expires_at = now() WHERE name = 'expired'`;
  headers["revoked"] = await bearer("revoked", { scopes: ["admin"] });
  await service.client.call("DELETE", "/tokens/revoked");
  headers["read"] = await bearer("reader", { scopes: ["read"] });
  headers["trigger"] = await bearer("coffee button", { scopes: ["trigger"], jobs: ["coffee"] });
  headers["trigger for another job"] = await bearer("tea button", { scopes: ["trigger"], jobs: ["tea"] });
  headers["admin"] = `Bearer ${service.token}`;
  headers["scope admin"] = await bearer("ann", { scopes: ["admin"] });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

async function call(method: string, url: string, credential: string) {
  const isTrigger = url.endsWith("/trigger");
  const isRun = method === "GET" && url.includes("/runs/:id");
  const path = url
    .replace(":name", isTrigger ? "coffee" : "ghost")
    .replace(":id", isRun ? run : NOBODY)
    .replace(":number", "1");
  const authorization = headers[credential];
  const answer = await fetch(service.url + path, { method, headers: authorization ? { authorization } : {} });
  const text = await answer.text();
  const code = answer.headers.get("content-type")?.includes("problem") ? JSON.parse(text || "{}").code : null;
  return { credential, status: answer.status, code };
}

it("has a row for each route, with the scopes that the route declares", () => {
  expect(Object.fromEntries(rows.map(({ line, access }) => [line, access]))).toEqual(ACCESS);
});

describe.each(rows)("$line", ({ method, url, line }) => {
  const access = ACCESS[line] ?? "";
  const isPublic = access === "public";

  it("answers 401 to every caller without a token, always in the same words", async () => {
    const answers = await Promise.all(STRANGERS.map((credential) => call(method, url, credential)));
    for (const answer of answers) {
      if (isPublic) expect(answer.status).toBe(200);
      else expect(answer).toMatchObject({ status: 401, code: "unauthorized" });
    }
  });

  const allowed: Record<string, boolean> = {
    read: access.includes("read"),
    trigger: access.includes("trigger"),
    "trigger for another job": false,
    admin: true,
    "scope admin": true,
  };
  it.each(Object.keys(allowed))("allows or refuses %s as the table says", async (credential) => {
    const { status, code } = await call(method, url, credential);
    if (isPublic || allowed[credential]) {
      expect([401, 403]).not.toContain(status);
      expect(status).toBeLessThan(500);
    } else expect({ status, code }).toEqual({ status: 403, code: "forbidden" });
  });

  it("allows no other method", async () => {
    for (const other of METHODS) {
      if (other === method || (other === "HEAD" && method === "GET")) continue;
      const stranger = await call(other, url, "none");
      const known = `${other} ${url}` in ACCESS;
      if (!(known && ACCESS[`${other} ${url}`] === "public")) expect(stranger.status).toBe(401);
      if (known || (other === "HEAD" && `GET ${url}` in ACCESS)) continue;
      for (const credential of ["read", "trigger", "admin"]) {
        // A name may stand where a fixed word does: GET /jobs/validate is the job `validate`.
        expect([403, 404, 405, 415, 422]).toContain((await call(other, url, credential)).status);
      }
    }
  });
});

it("answers 401 on unknown routes without a token, and 404 with one", async () => {
  for (const credential of STRANGERS) expect((await call("GET", "/nowhere", credential)).status).toBe(401);
  for (const credential of ["read", "trigger", "admin"])
    expect(await call("GET", "/nowhere", credential)).toMatchObject({ status: 404, code: "route_not_found" });
});

it("shows the documentation to every token", async () => {
  for (const page of ["/openapi.json", "/docs", "/docs/json", "/docs/static/swagger-ui.css"]) {
    for (const credential of ["none", "wrong", "expired", "revoked"])
      expect((await call("GET", page, credential)).status).toBe(401);
    for (const credential of ["read", "trigger", "admin", "basic"])
      expect((await call("GET", page, credential)).status).toBe(200);
  }
});

describe("a route that declares no scope", () => {
  const routes: FastifyPluginAsyncZod = async (app) => {
    app.get("/open", async () => "seen");
  };

  it("keeps the application from becoming ready", async () => {
    await expect(buildApp({ token: "x", routes })).rejects.toThrow(
      /these routes have no scope in their config: GET \/open/,
    );
  });
});
