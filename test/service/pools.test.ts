/** A run is run by a worker of its job's pool, and by no other. */
import { expect, it } from "vitest";
import { freshDatabase } from "../support/fresh-database.ts";
import { startTestService } from "../support/test-service.ts";

it("keeps a run waiting for a worker of its pool, which then also runs its retries and chains", {
  timeout: 30_000,
}, async () => {
  await using database = await freshDatabase();
  const environment = { DATABASE_URL: database.connectionString };
  await using first = await startTestService(environment);
  const { client } = first;
  await client.putJob("after", { command: "true", pool: "gpu" });
  await client.putJob("render", {
    command: '[ "$CARILLON_ATTEMPT" = 1 ]',
    pool: "gpu",
    retry: { limit: 1, delay: "0s" },
    on_success: { trigger_job: ["after"] },
  });
  await client.putJob("here", { command: "true" });
  const render = await client.trigger("render");
  // Sent later, and done: whoever serves the default pool has been at work since.
  expect((await client.trigger("here", {}, "20s")).state).toBe("succeeded");
  expect((await client.run(render.id)).state).toBe("queued");

  await using _gpu = await startTestService({
    ...environment,
    ROLES: "worker",
    WORKER_POOLS: "gpu",
    ADMIN_TOKEN: "a token of at least thirty-two characters",
  });
  const done = await client.run(render.id, "20s");
  expect(done).toMatchObject({ state: "succeeded", retry_attempt: 1 });
  const child = await client.run(String(done.triggered_runs[0]?.id), "20s");
  expect(child).toMatchObject({ name: "after", state: "succeeded" });
});

it("cancels a run whose pool has no workers, and runs the job after it has moved to another pool", {
  timeout: 30_000,
}, async () => {
  await using service = await startTestService();
  const { client } = service;
  await client.putJob("stranded", { command: "true", pool: "nobody", concurrency: { limit: 1 } });
  const stranded = await client.trigger("stranded");
  const waiting = await client.trigger("stranded");
  expect((await client.call("POST", `/runs/${stranded.id}/cancel`)).status).toBe(200);
  expect((await client.run(waiting.id)).state).toBe("queued");
  await client.call("POST", `/runs/${waiting.id}/cancel`);
  // A run keeps the revision that it was created with; the next one has the new pool.
  await client.call("PATCH", "/jobs/stranded", { pool: "default" });
  expect((await client.trigger("stranded", {}, "20s")).state).toBe("succeeded");
});
