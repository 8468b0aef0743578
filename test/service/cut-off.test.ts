/** A worker that stops responding: its command is dead before the next attempt begins, and its late result is refused (promises 3, 4). */
import { describe, it } from "vitest";
import type { Findings, World } from "../../scripts/reliability/campaign.ts";
import { cutOnce } from "../../scripts/reliability/cut.ts";
import { type Freeze, freezeOnce } from "../../scripts/reliability/freeze.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

async function inWorld(run: (world: World) => Promise<Findings>): Promise<string[]> {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  return (await run(world)).broken;
}

// All wait at the same time for a heartbeat to lapse.
describe.concurrent("another worker takes over", { timeout: 120_000 }, () => {
  it.for(["goes on", "succeeds meanwhile"] as const)(
    "from a worker that lost its database connection and whose command %s",
    async (work, { expect }) => {
      expect(await inWorld((world) => cutOnce(world, work))).toEqual([]);
    },
  );

  it.for<Freeze>(["worker, whose command succeeds meanwhile", "worker, runner and command"])(
    "from a stopped process: %s",
    async (what, { expect }) => {
      expect(await inWorld((world) => freezeOnce(world, what))).toEqual([]);
    },
  );
});
