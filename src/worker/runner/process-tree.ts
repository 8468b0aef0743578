/** Finds every process that a command started, and kills them so that none escapes meanwhile. */
import {
  childrenOf,
  environmentOf,
  isAlive,
  listProcesses,
  type ProcessEntry,
  type ProcessId,
  signalGroup,
  signalProcess,
} from "./processes.ts";

/** How the processes of a command are recognised. */
export interface ProcessTree {
  /** The process that was spawned; unknown when the journal ends before the spawn. */
  root?: ProcessId;
  /** No process older than this belongs to the command (clock ticks since the machine started). */
  notBefore: number;
  /** `NAME=value` of variables that only processes of this command have; empty when there are none. */
  marker: readonly string[];
  /** True when the root may have been reaped: then its group id counts only while the root itself is still found. */
  rootMayBeGone: boolean;
}

interface Snapshot {
  processes: readonly ProcessEntry[];
  /** Undefined when it cannot be known at this moment. */
  environment(pid: number): Set<string> | undefined;
}

/** Why a scan may be incomplete. */
interface ScanDoubts {
  /** A process was in the middle of exec; whose it is will be known in a moment. */
  unsettled: boolean;
  /** A process ended before it was read; a child that it had just started may have been overlooked. */
  missed: boolean;
}

/** The result of one scan. */
export interface ScanResult extends ScanDoubts {
  /** The commands that had processes to kill; the kernel may need a moment to remove them. */
  living: ReadonlySet<ProcessTree>;
}

/** Rounds of stopping and searching before the kill, at most. */
const MAX_ROUNDS = 20;

/**
 * Kills the group, the session, the descendants and the marked processes of each command, with one scan of /proc for
 * all commands. It first stops every process and searches again until it finds no new one, so that a tree that keeps
 * forking cannot outrun the kill.
 */
export function killTrees(trees: readonly ProcessTree[]): ScanResult {
  if (process.platform !== "linux") {
    return { living: killGroups(trees), unsettled: false, missed: false };
  }
  let doubts: ScanDoubts = { unsettled: false, missed: false };
  const found = new Map<number, ProcessEntry>();
  const living = new Set<ProcessTree>();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = found.size;
    const snapshot = takeSnapshot(trees);
    for (const tree of trees) {
      // The youngest first: they are the ones that still start others.
      for (const member of membersOf(tree, snapshot).sort((a, b) => b.startTime - a.startTime)) {
        if (found.get(member.pid)?.startTime === member.startTime) living.add(tree);
        else if (stopWithChildren(member, found)) living.add(tree);
        else if (!isAlive(member)) {
          // It has just ended, and may have started another process before.
          living.add(tree);
        }
      }
    }
    doubts = snapshot.doubts;
    if (found.size === before) break;
  }
  for (const member of found.values()) signalProcess(member, "SIGKILL");
  return { living, ...doubts };
}

/**
 * Stops a process, and then the children that it has started since the snapshot, and theirs. A chain of processes that
 * each start the next one grows faster than /proc can be read again, but not faster than one step of this.
 * @returns whether the process itself was stopped
 */
function stopWithChildren(first: ProcessEntry, found: Map<number, ProcessEntry>): boolean {
  const pending = [first];
  for (let entry = pending.pop(); entry !== undefined; entry = pending.pop()) {
    if (found.get(entry.pid)?.startTime === entry.startTime || !signalProcess(entry, "SIGSTOP")) continue;
    found.set(entry.pid, entry);
    pending.push(...childrenOf(entry.pid));
  }
  return found.get(first.pid)?.startTime === first.startTime;
}

/** Returns the living processes of a command in the snapshot. */
export function membersOf(tree: ProcessTree, { processes, environment }: Snapshot): ProcessEntry[] {
  const { root, notBefore, marker } = tree;
  const young = processes.filter(({ pid, startTime }) => startTime >= notBefore && pid !== process.pid);
  const members = new Set<ProcessEntry>();
  // The kernel does not reuse the id of a group or session that has members.
  const ids = new Set<number>();
  const holder = root && young.find(({ pid }) => pid === root.pid);
  if (root && (holder ? holder.startTime === root.startTime : !tree.rootMayBeGone)) ids.add(root.pid);

  // Zombies have no environment.
  const isMember = ({ pid, parent, group, session, zombie }: ProcessEntry) =>
    [pid, parent, group, session].some((id) => ids.has(id)) ||
    (marker.length > 0 && !zombie && hasAll(environment(pid), marker));
  for (let before = -1; before < members.size; ) {
    before = members.size;
    for (const entry of young) {
      if (members.has(entry) || !isMember(entry)) continue;
      members.add(entry);
      ids.add(entry.pid);
    }
  }
  return [...members].filter(({ zombie }) => !zombie);
}

function hasAll(environment: Set<string> | undefined, marker: readonly string[]): boolean {
  return environment !== undefined && marker.every((entry) => environment.has(entry));
}

function takeSnapshot(trees: readonly ProcessTree[]): Snapshot & { doubts: ScanDoubts } {
  const environments = new Map<number, Set<string> | undefined>();
  const oldest = Math.min(...trees.map(({ notBefore }) => notBefore));
  const doubts: ScanDoubts = { unsettled: false, missed: false };
  const onMissed = () => {
    doubts.missed = true;
  };
  return {
    doubts,
    processes: listProcesses(oldest, onMissed),
    environment(pid) {
      if (environments.has(pid)) return environments.get(pid);
      const read = environmentOf(pid);
      environments.set(pid, read);
      doubts.unsettled ||= read === undefined;
      return read;
    },
  };
}

/** Without /proc only the group can be found, and only while the root still holds its id. */
function killGroups(trees: readonly ProcessTree[]): Set<ProcessTree> {
  return new Set(
    trees.filter(({ root, rootMayBeGone }) => root && !rootMayBeGone && signalGroup(root.pid, "SIGKILL")),
  );
}
