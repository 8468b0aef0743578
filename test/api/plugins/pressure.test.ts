/** What an overloaded process still answers. */
import type { FastifyInstance } from "fastify";
import request from "supertest";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { problemSchema } from "../../../src/api/schemas/problem.ts";
import { BEARER, listen } from "../../support/tiny-api.ts";

let app: FastifyInstance;
beforeAll(async () => {
  ({ app } = await listen({ pressure: { maxHeapUsedBytes: 1, sampleInterval: 10 } }));
});
beforeEach(() => expect.poll(() => app.isUnderPressure()).toBe(true));
afterAll(() => app.close());

it("answers the liveness probe, and 503 with Retry-After to all other calls", async () => {
  await request(app.server).get("/healthz").expect(200);
  for (const path of ["/list", "/nowhere", "/docs", "/private/a"]) {
    const answer = await request(app.server).get(path).set("Authorization", BEARER);
    expect(answer.status).toBe(503);
    expect(problemSchema.strict().parse(answer.body).code).toBe("unavailable");
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    expect(answer.headers["x-content-type-options"]).toBe("nosniff");
  }
});

it("still refuses foreign web sites first", async () => {
  await request(app.server).get("/healthz").set("Host", "evil.example").expect(403);
  await request(app.server).get("/list").set("Origin", "https://evil.example").expect(403);
});

it("reports no pressure when the process is idle", async () => {
  const { app: idle } = await listen({ pressure: { sampleInterval: 100 } });
  await expect.poll(() => idle.memoryUsage().heapUsed).toBeGreaterThan(0);
  await expect.poll(() => idle.isUnderPressure()).toBe(false);
  await idle.close();
});
