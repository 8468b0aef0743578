/** Several scheduler processes on one database, one of them killed: every slot has exactly one run (promise 1). */
import { expect, it } from "vitest";
import { runSchedulers } from "../../scripts/reliability/schedulers.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

it("creates one run per slot while a scheduler is killed and restarted", { timeout: 60_000 }, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  const { broken, figures } = await runSchedulers(world, {
    schedulers: 2,
    jobs: 5,
    seconds: 4,
    killEveryMs: 1_000,
  });
  expect(figures["schedulers killed"]).toBeGreaterThan(0);
  expect(broken).toEqual([]);
  expect(figures["slots, each with one run"]).toBeGreaterThanOrEqual(10);
});
