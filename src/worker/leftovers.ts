/** Kills what the commands of runners that are dead have left running. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type JournalContent, readJournal } from "./runner/journal.ts";
import type { ProcessTree } from "./runner/process-tree.ts";
import { isAlive, pidSpace } from "./runner/processes.ts";
import { createSweeper } from "./runner/sweeper.ts";

/**
 * Reads the journals of a folder, which is made when it is not there, kills what is left of the commands of
 * those whose runner is dead, and deletes them. A pid alone proves nothing: a process is touched only when its
 * start time is the one that was written down, or when it carries the marker of a command.
 * @returns how many commands the journals named as running
 */
export async function killLeftovers(folder: string): Promise<number> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const sweeper = createSweeper();
  const space = pidSpace();
  let commands = 0;
  for (const name of readdirSync(folder)) {
    if (!/\.journal(\.new)?$/.test(name)) continue;
    const path = join(folder, name);
    const journal = readJournal(path);
    // After a restart of the machine, or from another container, its pids say nothing here, and none of its processes is.
    const isFromHere =
      journal !== undefined &&
      journal.space.bootId === space?.bootId &&
      journal.space.namespace === space.namespace;
    if (isFromHere && isAlive(journal.owner)) continue;
    if (isFromHere) {
      commands += journal.running.length;
      await Promise.all(treesOf(journal).map((tree) => sweeper.sweep(tree)));
    }
    rmSync(path, { force: true });
  }
  return commands;
}

function treesOf({ owner, running }: JournalContent): ProcessTree[] {
  return running.map(({ root, marker }) => ({
    ...(root && { root }),
    notBefore: root?.startTime ?? owner.startTime,
    marker,
    rootMayBeGone: true,
  }));
}
