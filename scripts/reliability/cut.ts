/** Cuts a worker's connection to the database silently, and restores it later. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startCutProxy } from "../../test/support/cut-proxy.ts";
import { type Campaign, type Findings, startNode, type World } from "./campaign.ts";
import { takeOver, type Work } from "./silent-worker.ts";

export const cut: Campaign = {
  title: "the connection of a worker to the database cut past its heartbeat, then mended",
  run: (world) => cutOnce(world, world.seed % 2 === 0 ? "goes on" : "succeeds meanwhile"),
};

export async function cutOnce(world: World, work: Work): Promise<Findings> {
  await using proxy = await startCutProxy(world.connectionString);
  const fault = {
    start: () => startNode(world, "victim", { ROLES: "worker", DATABASE_URL: proxy.connectionString }),
    async silence() {
      proxy.cut();
    },
    restore: proxy.heal,
    freezesCommand: false,
  };
  return await takeOver(world, fault, work, () => writeFile(join(world.folder, "silent"), ""));
}
