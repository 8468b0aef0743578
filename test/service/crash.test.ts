/** kill -9 of the service: no accepted trigger is lost, and the running attempt is noticed (promises 2 and 4). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { freshDatabase } from "../support/database.ts";
import { temporaryFolder } from "../support/folder.ts";
import { startProcess } from "../support/process.ts";

const TRIGGERS = 100;

it("ends every accepted trigger and retries the attempt that was running", { timeout: 120_000 }, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const environment = {
    DATABASE_URL: database.connectionString,
    DATA_DIR: join(folder.path, "data"),
    JOBS_DIR: folder.path,
    WORKER_CONCURRENCY: "2",
  };
  await using before = await startProcess(environment);
  const long = {
    command: "[ -e pid ] && exit 0; echo $$ > pid; exec sleep 600",
    retries: 1,
    retry: { delay: "1ms" },
  };
  await before.client.putJob("long", long);
  await before.client.putJob("quick", {
    command: "echo $CARILLON_TEST >> witness",
    retries: 1,
    retry: { delay: "1ms" },
  });
  const running = await before.client.trigger("long");
  await expect.poll(() => readFile(join(folder.path, "pid"), "utf8"), { timeout: 10_000 }).toMatch(/\d/);

  const accepted = await Promise.all(
    Array.from({ length: TRIGGERS }, (_, n) =>
      before.client.trigger("quick", { env: { CARILLON_TEST: `${n}` } }),
    ),
  );
  await before.end("SIGKILL");
  process.kill(Number(await readFile(join(folder.path, "pid"), "utf8")), "SIGKILL");

  await using after = await startProcess(environment);
  const ended = await Promise.all(accepted.map(({ id }) => after.client.run(id, "55s")));
  expect(ended.map(({ state }) => state)).toEqual(ended.map(() => "succeeded"));
  const witness = (await readFile(join(folder.path, "witness"), "utf8")).trim().split("\n");
  expect(new Set(witness).size).toBe(TRIGGERS);

  const recovered = await after.client.run(running.id, "40s");
  expect(recovered).toMatchObject({ state: "succeeded", retry_attempt: 1 });
  expect(recovered.attempts).toMatchObject([
    { attempt: 0, state: "lost", status: -1, reason: expect.stringContaining("fell silent") },
    { attempt: 1, state: "succeeded", status: 0 },
  ]);
});

it("hands a running attempt back when it is told to stop, with no retry used (promise 9)", {
  timeout: 60_000,
}, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const environment = {
    DATABASE_URL: database.connectionString,
    DATA_DIR: join(folder.path, "data"),
    JOBS_DIR: folder.path,
    SHUTDOWN_GRACE: "100ms",
  };
  await using before = await startProcess(environment);
  await before.client.putJob("long", { command: "[ -e begun ] && exit 0; touch begun; exec sleep 600" });
  const { id } = await before.client.trigger("long");
  await expect.poll(() => readFile(join(folder.path, "begun"), "utf8"), { timeout: 10_000 }).toBe("");
  expect(await before.end("SIGTERM")).toBe(0);

  await using after = await startProcess(environment);
  const run = await after.client.run(id, "30s");
  expect(run).toMatchObject({ state: "succeeded", retry_attempt: 0 });
  expect(run.attempts).toMatchObject([
    { attempt: 0, state: "handed_back", status: null },
    { attempt: 0, state: "succeeded", status: 0 },
  ]);
});
