/** A database that goes away for a while: waiting callers and followers do not notice. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { freshDatabase } from "../support/fresh-database.ts";
import { execute } from "../support/postgres-server.ts";
import { startTestService } from "../support/test-service.ts";

it("lets a wait and a follower go on over a reconnect", { timeout: 60_000 }, async () => {
  await using database = await freshDatabase();
  await using service = await startTestService({ DATABASE_URL: database.connectionString });
  const { client, url, token } = service;
  const command = "echo before; until [ -e go ]; do sleep 0.05; done; echo after";
  await client.putJob("job", { command });
  const waiting = client.trigger("job", undefined, "50s");
  await expect.poll(async () => (await client.runs("state=running")).length, { timeout: 10_000 }).toBe(1);
  const [run] = await client.runs("state=running");
  const followed = fetch(`${url}/api/v1/runs/${run?.id}/log?follow=true`, {
    headers: { authorization: `Bearer ${token}` },
  }).then((response) => response.text());
  const read = client.call("GET", `/runs/${run?.id}?wait=50s`);

  const server = new URL(database.connectionString);
  server.pathname = "/postgres";
  const allow = (is: boolean) =>
    execute(server.href, `ALTER DATABASE "${database.name}" ALLOW_CONNECTIONS ${is}`);
  await allow(false);
  await execute(
    server.href,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database.name}'`,
  );
  await expect
    .poll(async () => (await client.call("GET", "/jobs/job")).status, { timeout: 10_000 })
    .toBe(503);
  for (const path of ["/runs", "/stats", "/next", `/runs/${run?.id}`, "/deliveries", "/schedules"]) {
    const { status, headers } = await client.call("GET", path);
    expect([path, status, headers.get("retry-after")]).toEqual([path, 503, expect.stringMatching(/^\d+$/)]);
  }
  // This wait takes its whole time, in which the others look for their runs several times.
  const since = performance.now();
  expect((await client.call("GET", `/runs/${run?.id}?wait=2500ms`)).status).toBe(503);
  expect(performance.now() - since).toBeGreaterThan(2_000);
  await allow(true);
  await client.putJob("again", { command: "true" });
  await writeFile(join(service.jobsDir, "go"), "");
  expect(await waiting).toMatchObject({ state: "succeeded", log: "before\nafter\n" });
  expect(await read).toMatchObject({ status: 200, body: { state: "succeeded" } });
  expect(await followed).toBe("before\nafter\n");
});
