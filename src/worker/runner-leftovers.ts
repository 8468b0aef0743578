/** Finds runners that died or lost their worker, by their journals, and kills what remains of their commands. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type JournalContent, readJournal } from "./runner/journal.ts";
import type { ProcessTree } from "./runner/process-tree.ts";
import { isAlive, type ProcessId, pidSpace } from "./runner/processes.ts";
import { createSweeper, type Sweeper } from "./runner/sweeper.ts";

/** A runner whose worker is dead has this long (ms) to kill its commands and end by itself. */
const FAREWELL_MS = 2_000;
const POLL_MS = 50;

/**
 * Reads all journals of a folder, kills the remaining processes of each dead runner's commands, and deletes the
 * journal. A living runner with a dead worker gets a moment to do this itself and is then killed too; the runner of a
 * living worker is not touched. A process is killed only if its pid and start time are in the journal, or if it
 * carries the marker of a command.
 * @param folder created when it does not exist
 * @returns the number of commands that the journals list as running
 * @throws the first error, after all journals were handled
 */
export async function killLeftovers(folder: string): Promise<number> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const sweeper = createSweeper();
  const paths = readdirSync(folder)
    .filter((name) => /\.journal(\.new)?$/.test(name))
    .map((name) => join(folder, name));
  const results = await Promise.allSettled(paths.map((path) => cleanUpJournal(path, sweeper)));
  let commands = 0;
  for (const result of results) {
    if (result.status === "rejected") throw result.reason;
    commands += result.value;
  }
  return commands;
}

async function cleanUpJournal(path: string, sweeper: Sweeper): Promise<number> {
  const journal = readJournal(path);
  const space = pidSpace();
  // After a reboot, or in another container, its pids are meaningless and its processes are not here.
  const isLocal =
    journal !== undefined &&
    journal.space.bootId === space?.bootId &&
    journal.space.namespace === space.namespace;
  if (isLocal && isAlive(journal.owner)) {
    if (isAlive(journal.worker)) return 0;
    await waitForEnd(journal.owner);
  }
  const trees = isLocal ? treesOf(journal) : [];
  await Promise.all(trees.map((tree) => sweeper.sweep(tree)));
  rmSync(path, { force: true });
  return isLocal ? journal.running.length : 0;
}

async function waitForEnd(runner: ProcessId): Promise<void> {
  const until = performance.now() + FAREWELL_MS;
  while (isAlive(runner) && performance.now() < until) await delay(POLL_MS);
}

/** The first tree is the runner itself: while it exists, all its descendants are found through it. */
function treesOf({ owner, running }: JournalContent): ProcessTree[] {
  const roots = [{ root: owner, marker: [] }, ...running];
  return roots.map(({ root, marker }) => ({
    ...(root && { root }),
    notBefore: root?.startTime ?? owner.startTime,
    marker,
    rootMayBeGone: true,
  }));
}
