/** Unusual commands through a running service: each has its expected result and leaves nothing behind. */
import { expect, it } from "vitest";
import { commandsOnce } from "../../scripts/reliability/commands.ts";
import { freshDatabase } from "../support/database.ts";
import { temporaryFolder } from "../support/folder.ts";

it("gives each its state, status and output", { timeout: 180_000 }, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  const { broken } = await commandsOnce(world, { floodBytes: 64 * 1_048_576 });
  expect(broken).toEqual([]);
});
