/** The same Idempotency-Key gives the same run (promise 2). */
import supertest from "supertest";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestService, type TestService } from "../support/test-service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
  await service.client.putJob("job", { command: "true" });
  await service.client.putJob("other", { command: "true" });
}, 30_000);
afterAll(() => service?.[Symbol.asyncDispose]());

const trigger = (key: string, body: object = {}, job = "job") =>
  supertest(service.url)
    .post(`/api/v1/jobs/${job}/trigger`)
    .set("authorization", `Bearer ${service.token}`)
    .set("idempotency-key", key)
    .send(body);

it("creates one run when 20 clients send the same key at once", async () => {
  const body = { triggered_by: "twenty", env: { A: "1", B: "2" } };
  const answers = await Promise.all(Array.from({ length: 20 }, () => trigger("twenty", body)));
  const runs = await service.client.runs("triggered_by=twenty");
  expect(runs).toHaveLength(1);
  const location = `/api/v1/runs/${runs[0]?.id}`;
  expect(answers.map(({ headers }) => headers["location"])).toEqual(answers.map(() => location));
  expect(answers.every(({ status }) => status === 200 || status === 202)).toBe(true);
  const replayed = answers.filter(({ headers }) => headers["idempotency-replayed"] === "true");
  expect(replayed).toHaveLength(19);
});

it("returns the run in its present state when the same trigger is repeated", async () => {
  const first = await trigger("again", { env: { A: "1", B: "2" }, events: true }).expect(202);
  await service.client.run(first.body.id, "30s");
  const second = await trigger("again", { env: { B: "2", A: "1" } }).expect(202);
  expect(second.headers).toMatchObject({ "idempotency-replayed": "true", "x-run-state": "succeeded" });
  expect(second.body).toMatchObject({ id: first.body.id, state: "succeeded" });
  await service.client.putJob("job", { command: "true", enabled: false });
  expect((await trigger("again", { env: { A: "1", B: "2" } }).expect(202)).body.id).toBe(first.body.id);
  await service.client.putJob("job", { command: "true" });
});

it("refuses the key with another body or for another job, and creates no run", async () => {
  const { body } = await trigger("mismatch", { triggered_by: "mismatch" });
  expect((await trigger("mismatch", { triggered_by: "else" }).expect(422)).body.code).toBe(
    "idempotency_mismatch",
  );
  expect((await trigger("mismatch", { triggered_by: "mismatch" }, "other").expect(422)).body.code).toBe(
    "idempotency_mismatch",
  );
  const runs = await service.client.runs("triggered_by=mismatch&triggered_by=else");
  expect(runs.map(({ id }) => id)).toEqual([body.id]);
});

it("forgets the key when its trigger was refused, and after 24 h", async () => {
  expect((await trigger("refused", {}, "nobody").expect(404)).body.code).toBe("job_not_found");
  await trigger("refused").expect(202);

  const { body } = await trigger("old");
  const age = (interval: string) =>
    service.prisma.$executeRaw`
      UPDATE idempotency_key SET created_at = now() - ${interval}::interval WHERE key = 'old'`;
  await age("23 hours 59 minutes");
  expect((await trigger("old")).body.id).toBe(body.id);
  await age("24 hours 1 second");
  const fresh = await trigger("old");
  expect(fresh.body.id).not.toBe(body.id);
  expect(fresh.headers["idempotency-replayed"]).toBeUndefined();
});

it.each(["", "two words", "caf\u00e9", "x".repeat(256)])("refuses the key %j", async (key) => {
  const { body } = await trigger(key).expect(400);
  expect(body.errors).toMatchObject([{ path: "idempotency-key" }]);
});

it.each(["!", "x".repeat(255), '"quoted"'])("accepts the key %j", async (key) => {
  await trigger(key).expect(202);
});
