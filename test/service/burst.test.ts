/** Many connections at once: each trigger is answered and has its run. */
import { expect, it } from "vitest";
import { burstOnce } from "../../scripts/reliability/burst.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

it("answers every trigger of a burst", { timeout: 60_000 }, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  expect((await burstOnce(world, { connections: 950 })).broken).toEqual([]);
});
