/** Unusual commands through a running service: each has its expected result and leaves nothing behind. */
import { expect, it } from "vitest";
import { commandsOnce } from "../../scripts/reliability/commands.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** 0, the smallest and the largest, and those that shells give a meaning; a runner passes on all 256 in its own test. */
const EXIT_CODES = [0, 1, 2, 124, 125, 126, 127, 128, 129, 130, 137, 143, 192, 254, 255];

it("records the state, status and output of each unusual command", { timeout: 180_000 }, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  const { broken } = await commandsOnce(world, { floodBytes: 64 * 1_048_576, exitCodes: EXIT_CODES });
  expect(broken).toEqual([]);
});
