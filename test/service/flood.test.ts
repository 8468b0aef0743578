/** A command that prints far more than is kept: memory and the database stay small (promise 10). */
import { expect, it } from "vitest";
import { floodOnce } from "../../scripts/reliability/flood.ts";
import { createDatabase, startServer } from "../support/postgres-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

it("costs little memory and few writes", { timeout: 60_000 }, async () => {
  // A server of its own: the write-ahead log, whose growth is measured, belongs to the whole server.
  const server = await startServer();
  try {
    await using folder = await temporaryFolder();
    const connectionString = await createDatabase(server.connectionString, "flood");
    const { broken, figures } = await floodOnce(
      { connectionString, folder: folder.path, seed: 1 },
      { floodMib: 128 },
    );
    expect({ broken, figures }).toEqual({ broken: [], figures });
  } finally {
    await server.stop();
  }
});
