/** A start that has to wait says what it waits for. */
import pg from "pg";
import { expect, it } from "vitest";
import { startNode } from "../../scripts/reliability/campaign.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

it("names the lock that another node holds for migrations, and starts once it is free", {
  timeout: 60_000,
}, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const { connectionString } = database;
  const other = new pg.Client(connectionString);
  await other.connect();
  await other.query("SELECT pg_advisory_lock(72707369)");
  const world = { connectionString, folder: folder.path, seed: 1 };
  const printed = Promise.withResolvers<string>();
  const starting = startNode(world, "node", {}, (output) => {
    if (output.includes("which holds the lock")) printed.resolve(output);
  });
  expect(await Promise.race([printed.promise, starting.then(() => "it started")])).toMatch(
    /the start has been waiting for another node or tool, which holds the lock for migrations .* for \d+ s/,
  );
  await other.end();
  await using node = await starting;
  expect(await node.end("SIGTERM")).toBe(0);
});
