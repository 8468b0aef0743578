/** Kills what the commands of runners have left running that are dead, or stand still and whose worker is dead. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type JournalContent, readJournal } from "./runner/journal.ts";
import type { ProcessTree } from "./runner/process-tree.ts";
import { isAlive, type ProcessId, pidSpace } from "./runner/processes.ts";
import { createSweeper, type Sweeper } from "./runner/sweeper.ts";

/** A runner whose worker is dead kills all by itself, and ends; in ms. */
const FAREWELL_MS = 2_000;
const LOOK_AGAIN_MS = 50;

/**
 * Reads the journals of a folder, which is made when it is not there, kills what is left of the commands of
 * those whose runner is dead, and deletes them. A runner that lives and whose worker is dead is given a moment to
 * do so itself, and then it is killed too; that of a living worker is not touched. A pid alone proves nothing: a
 * process is touched only when its start time is the one that was written down, or when it carries the marker of a
 * command.
 * @returns how many commands the journals named as running; rejects with the first error once all were dealt with
 */
export async function killLeftovers(folder: string): Promise<number> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const sweeper = createSweeper();
  const paths = readdirSync(folder)
    .filter((name) => /\.journal(\.new)?$/.test(name))
    .map((name) => join(folder, name));
  const results = await Promise.allSettled(paths.map((path) => settleJournal(path, sweeper)));
  let commands = 0;
  for (const result of results) {
    if (result.status === "rejected") throw result.reason;
    commands += result.value;
  }
  return commands;
}

async function settleJournal(path: string, sweeper: Sweeper): Promise<number> {
  const journal = readJournal(path);
  const space = pidSpace();
  // After a restart of the machine, or from another container, its pids say nothing here, and none of its processes is.
  const isFromHere =
    journal !== undefined &&
    journal.space.bootId === space?.bootId &&
    journal.space.namespace === space.namespace;
  if (isFromHere && isAlive(journal.owner)) {
    if (isAlive(journal.worker)) return 0;
    await diesOrTimeIsUp(journal.owner);
  }
  const trees = isFromHere ? treesOf(journal) : [];
  await Promise.all(trees.map((tree) => sweeper.sweep(tree)));
  rmSync(path, { force: true });
  return isFromHere ? journal.running.length : 0;
}

async function diesOrTimeIsUp(runner: ProcessId): Promise<void> {
  const until = performance.now() + FAREWELL_MS;
  while (isAlive(runner) && performance.now() < until) await delay(LOOK_AGAIN_MS);
}

/** The first is the runner itself: while it stands, all its descendants are found from there. */
function treesOf({ owner, running }: JournalContent): ProcessTree[] {
  const roots = [{ root: owner, marker: [] }, ...running];
  return roots.map(({ root, marker }) => ({
    ...(root && { root }),
    notBefore: root?.startTime ?? owner.startTime,
    marker,
    rootMayBeGone: true,
  }));
}
