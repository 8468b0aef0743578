/** Steps of a clock, of a node or of the database: slots, queued runs and running commands do not notice. */
import { describe, it } from "vitest";
import { databaseClockOnce, nodeClockOnce } from "../../scripts/reliability/clocks.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

async function inWorld(
  run: (world: Parameters<typeof nodeClockOnce>[0]) => ReturnType<typeof nodeClockOnce>,
) {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  return (await run(world)).broken;
}

// They run at the same time, because all wait for a claim to lapse.
describe.concurrent("a step of a clock", { timeout: 120_000 }, () => {
  it("of a node by 60 days ahead, and then back to 300 s ago, leaves no gap", async ({ expect }) => {
    const shifts = [60 * 86_400_000, -300_000];
    expect(await inWorld((world) => nodeClockOnce(world, shifts))).toEqual([]);
  });

  it.for(["30 seconds", "-1 hour"] as const)(
    "of the database by %s ends no command and delays no run",
    async (step, { expect }) => {
      expect(await inWorld((world) => databaseClockOnce(world, step))).toEqual([]);
    },
  );
});
