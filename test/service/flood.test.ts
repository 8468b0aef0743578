/** A command that prints far more than is kept: memory and the database stay small (promise 10). */
import { expect, it } from "vitest";
import { floodOnce } from "../../scripts/reliability/flood.ts";
import { freshDatabase } from "../support/database.ts";
import { temporaryFolder } from "../support/folder.ts";

it("costs little memory and few writes", { timeout: 60_000 }, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  const { broken, figures } = await floodOnce(world, { floodMib: 128 });
  expect({ broken, figures }).toEqual({ broken: [], figures });
});
