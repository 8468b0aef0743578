/** kill -9 and SIGTERM of the service: no accepted trigger is lost, and the running attempt is recorded (promises 2, 4, 9). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import { crashOnce } from "../../scripts/reliability/crash.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { startProcess } from "../support/service-process.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

// The first waits for the heartbeat of the killed worker to lapse; the second runs meanwhile.
describe.concurrent("the end of the service", () => {
  it("loses no accepted trigger after kill -9, and records the running attempt as lost once", {
    timeout: 120_000,
  }, async ({ expect }) => {
    await using database = await freshDatabase();
    await using folder = await temporaryFolder();
    const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
    const { broken } = await crashOnce(world, { triggers: 40, embedded: false });
    expect(broken).toEqual([]);
  });

  it.for([
    "SIGTERM",
    // A terminal that is closed sends it.
    "SIGHUP",
  ] as const)(
    "hands the running attempt back after %s without using a retry (promise 9)",
    {
      timeout: 60_000,
    },
    async (signal, { expect }) => {
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
      expect(await before.end(signal)).toBe(0);

      await using after = await startProcess(environment);
      const run = await after.client.run(id, "30s");
      expect(run).toMatchObject({ state: "succeeded", retry_attempt: 0 });
      expect(run.attempts).toMatchObject([
        { attempt: 0, state: "handed_back", status: null },
        { attempt: 0, state: "succeeded", status: 0 },
      ]);
    },
  );
});
