/** Tokens: shown once, known by their hash, and of no use once they have expired or been revoked. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findUsableToken, recordUse } from "../../src/access/authenticate.ts";
import { createClient } from "../support/api-client.ts";
import { makeToken } from "../support/make-token.ts";
import { startTestService, type TestService } from "../support/test-service.ts";

interface Token {
  name: string;
  scopes: string[];
  jobs: string[] | null;
  created_by: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  token: string;
}
interface Problem {
  code: string;
  detail: string;
  errors: { path: string; message: string }[];
}

let service: TestService;
beforeAll(async () => {
  service = await startTestService({ ROLES: "api", FAILED_LOGIN_LIMIT: "1000" });
  await service.client.putJob("coffee", { command: "true" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const make = <T = Token>(body: object) => service.client.call<T>("POST", "/tokens", body);
const statusWith = async (token: string, path = "/stats", url = service.url) =>
  (await createClient(url, token).call("GET", path)).status;

describe("a new token", () => {
  it("is shown once, and only its hash is kept", async () => {
    const { status, headers, body } = await make({ name: "reader", scopes: ["read"] });
    expect(status).toBe(201);
    expect(headers.get("location")).toBe("/api/v1/tokens/reader");
    expect(body).toMatchObject({ name: "reader", scopes: ["read"], jobs: null, created_by: "admin" });
    expect(body).toMatchObject({ expires_at: null, last_used_at: null });
    // 32 bytes in base64url.
    expect(body.token).toMatch(/^crl_[\w-]{43}$/);
    const again = await make({ name: "other reader", scopes: ["read"] });
    expect(again.body.token).not.toBe(body.token);

    const { token, ...shown } = body;
    expect((await service.client.call("GET", "/tokens/reader")).body).toEqual(shown);
    const list = await service.client.call<{ items: Token[] }>("GET", "/tokens");
    expect(list.body.items.map(({ name }) => name)).toEqual(["other reader", "reader"]);
    const audit = await service.client.call("GET", "/audit");
    expect(JSON.stringify([list.body, audit.body])).not.toContain(token);

    const hash = createHash("sha256").update(token).digest("hex");
    const kept = await service.prisma.$queryRaw<object[]>`SELECT * FROM token WHERE hash = ${hash}`;
    expect(kept).toHaveLength(1);
    for (const table of ["token", "audit_entry"]) {
      const dump = await service.prisma.$queryRawUnsafe<object[]>(`SELECT t::text FROM ${table} t`);
      expect(JSON.stringify(dump)).not.toContain(token.slice("crl_".length));
    }
  });

  it("opens what its scope opens, at once", async () => {
    const token = await makeToken(service, "at once", { scopes: ["read"] });
    expect(await statusWith(token)).toBe(200);
    expect(await statusWith(token, "/tokens")).toBe(403);
    expect(await statusWith(`${token}x`)).toBe(401);
    expect(await statusWith(token.slice(0, -1))).toBe(401);
  });

  it("has a name of its own, which is not admin", async () => {
    await make({ name: "twice", scopes: ["read"] });
    const twice = await make<Problem>({ name: "twice", scopes: ["admin"] });
    expect([twice.status, twice.body.code]).toEqual([409, "token_exists"]);
    const admin = await make<Problem>({ name: "admin", scopes: ["admin"] });
    expect([admin.status, admin.body.errors[0]?.path]).toEqual([422, "name"]);
  });

  it.each([
    ["scopes", { scopes: [] }],
    ["scopes", { scopes: ["read", "read"] }],
    ["scopes.0", { scopes: ["write"] }],
    ["scopes", {}],
    ["jobs", { scopes: ["read"], jobs: ["coffee"] }],
    ["jobs", { scopes: ["trigger", "admin"], jobs: ["coffee"] }],
    ["jobs", { scopes: ["trigger"], jobs: [] }],
    ["jobs.1", { scopes: ["trigger"], jobs: ["coffee", "cofee"] }],
    ["expires_in", { scopes: ["read"], expires_in: "0s" }],
    ["expires_in", { scopes: ["read"], expires_in: "1h", expires_at: "2099-01-01T00:00:00Z" }],
    ["expires_at", { scopes: ["read"], expires_at: "2020-01-01T00:00:00Z" }],
    ["expires_at", { scopes: ["read"], expires_at: "tomorrow" }],
    ["jobs", { scopes: ["trigger"], job: ["coffee"] }],
  ])("is refused for its %s: %j", async (path, asked) => {
    const { status, body } = await make<Problem>({ name: "refused", ...asked });
    expect([status, body.code]).toEqual([422, "invalid_document"]);
    const { errors } = body;
    if ("job" in asked) expect(errors[0]?.message).toContain('did you mean "jobs"');
    else expect(errors.map((error) => error.path)).toContain(path);
    expect((await service.client.call("GET", "/tokens/refused")).status).toBe(404);
  });
});

describe("the end of a token", () => {
  it("comes by the database's clock when it expires", async () => {
    const { body } = await make({ name: "short", scopes: ["read"], expires_in: "1h" });
    const hour = Date.parse(String(body.expires_at)) - Date.parse(body.created_at);
    expect(hour).toBe(3_600_000);
    expect(await statusWith(body.token)).toBe(200);
    await service.prisma.$executeRaw`UPDATE token SET expires_at = now() WHERE name = 'short'`;
    // A node believes for a second what it has read.
    await expect.poll(() => statusWith(body.token), { timeout: 5_000 }).toBe(401);
    expect((await service.client.call("GET", "/tokens/short")).status).toBe(200);
  });

  it("comes at once where it is revoked, and on other nodes soon", async () => {
    const { connectionString } = service.database;
    await using other = await startTestService({ ROLES: "api", DATABASE_URL: connectionString });
    const token = await makeToken(service, "leaked", { scopes: ["read"] });
    expect([await statusWith(token), await statusWith(token, "/stats", other.url)]).toEqual([200, 200]);
    expect((await service.client.call("DELETE", "/tokens/leaked")).status).toBe(204);
    expect(await statusWith(token)).toBe(401);
    await expect.poll(() => statusWith(token, "/stats", other.url), { timeout: 5_000 }).toBe(401);
    const gone = await service.client.call<Problem>("DELETE", "/tokens/leaked");
    expect([gone.status, gone.body.code]).toEqual([404, "token_not_found"]);
  });

  it("leaves its name free, for a token that is another one", async () => {
    const first = await makeToken(service, "again", { scopes: ["read"] });
    await service.client.call("DELETE", "/tokens/again");
    const second = await makeToken(service, "again", { scopes: ["read"] });
    expect([await statusWith(first), await statusWith(second)]).toEqual([401, 200]);
  });
});

describe("the last use", () => {
  const lastUse = async () => (await service.client.call<Token>("GET", "/tokens/used")).body.last_used_at;
  const setLastUse = (ago: string) =>
    service.prisma.$executeRaw`UPDATE token SET last_used_at = now() - ${ago}::interval WHERE name = 'used'`;

  it("is noted", async () => {
    const token = await makeToken(service, "used", { scopes: ["read"] });
    expect(await lastUse()).toBeNull();
    await statusWith(token);
    await expect.poll(lastUse).not.toBeNull();
  });

  it("is noted once a minute, on whatever node", async () => {
    const { id, hash } = await service.prisma.token.findUniqueOrThrow({ where: { name: "used" } });
    for (const [ago, noted] of [
      ["59 seconds", false],
      ["61 seconds", true],
    ] as const) {
      await setLastUse(ago);
      const before = await lastUse();
      expect(await findUsableToken(service.prisma, hash)).toMatchObject({ id, isUseOutdated: noted });
      await recordUse(service.prisma, id);
      expect((await lastUse()) !== before).toBe(noted);
    }
  });
});

it("is not called unknown while the database is away: 503", async () => {
  await using alone = await startTestService({ ROLES: "api" });
  const token = await makeToken(alone, "reader", { scopes: ["read"] });
  await alone.database.drop();
  expect((await fetch(`${alone.url}/openapi.json`, bearer(alone.token))).status).toBe(200);
  expect((await fetch(`${alone.url}/openapi.json`, bearer(token))).status).toBe(503);
});

function bearer(token: string) {
  return { headers: { authorization: `Bearer ${token}` } };
}
