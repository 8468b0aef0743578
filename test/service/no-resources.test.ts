/** A machine without free file descriptors: the attempt is handed back, and the run succeeds when there are some again. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { startNode, until } from "../../scripts/reliability/campaign.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { descendantsOf } from "../support/process-search.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

it("hands attempts back without using a retry, and runs them later", { timeout: 60_000 }, async () => {
  await using database = await freshDatabase();
  await using folder = await temporaryFolder();
  const world = { connectionString: database.connectionString, folder: folder.path, seed: 1 };
  await using node = await startNode(world, "node");
  const { client, child } = node;
  const runner = descendantsOf(child.pid ?? 0).find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("runner"),
  );
  const limitFiles = (most: string) =>
    execFileSync("prlimit", [`--pid=${runner}`, `--nofile=${most}:`], { stdio: "ignore" });
  await client.putJob("quick", { command: "true" });
  limitFiles(String(readdirSync(`/proc/${runner}/fd`).length));
  const { id } = await client.trigger("quick");
  const refused = await until("an attempt is handed back", 20_000, async () => {
    const { attempts } = await client.run(id);
    return attempts.find(({ state }) => state !== "running");
  });
  expect(refused).toMatchObject({
    state: "handed_back",
    status: null,
    reason: expect.stringMatching(/EMFILE/),
  });
  limitFiles("4096");
  const run = await client.run(id, "40s");
  expect(run).toMatchObject({ state: "succeeded", retry_attempt: 0 });
  expect(node.output()).toMatch(/no free file descriptors/);
});
