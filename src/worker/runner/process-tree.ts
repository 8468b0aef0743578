/** Finds all that a command has started, and kills it so that nothing slips away meanwhile. */
import {
  environmentOf,
  isAlive,
  listProcesses,
  type ProcessEntry,
  type ProcessId,
  signalGroup,
  signalProcess,
} from "./processes.ts";

/** A command, as it is found again among all processes. */
export interface ProcessTree {
  /** The command's own process; unknown when the journal ends before it had one. */
  root?: ProcessId;
  /** Nothing that is older belongs to it. */
  notBefore: number;
  /** `NAME=value` of variables that only processes of this command have; empty: it has no mark. */
  marker: readonly string[];
  /** Its group may be gone, and the id somebody else's: it counts only while the command's own process is there. */
  rootMayBeGone: boolean;
}

interface Snapshot {
  processes: readonly ProcessEntry[];
  /** Undefined: it cannot be told at this moment. */
  environment(pid: number): Set<string> | undefined;
}

/** Why a look at all processes may not have seen everything. */
interface Doubts {
  /** A process was becoming another program: whose it is can be told in a moment. */
  unsettled: boolean;
  /** A process ended before it was read; what it had just started may have been overlooked. */
  missed: boolean;
}

/** What one look has shown. */
export interface Look extends Doubts {
  /** The commands of which something was there to be killed; it may take a moment to be gone. */
  living: ReadonlySet<ProcessTree>;
}

/** Looks for new members so often at most before it kills: each time those known are standing still. */
const MOST_LOOKS = 20;

/**
 * Kills the group, the session, the descendants and the marked processes of each command, with one look at
 * /proc for all. They are stopped first, again and again until no new one is found, and then killed: so a tree
 * that keeps on forking cannot outrun us.
 */
export function killTrees(trees: readonly ProcessTree[]): Look {
  if (process.platform !== "linux") {
    return { living: killGroups(trees), unsettled: false, missed: false };
  }
  let doubts: Doubts = { unsettled: false, missed: false };
  const found = new Map<number, ProcessEntry>();
  const living = new Set<ProcessTree>();
  for (let look = 0; look < MOST_LOOKS; look++) {
    const before = found.size;
    const snapshot = takeSnapshot(trees);
    for (const tree of trees) {
      for (const member of membersOf(tree, snapshot)) {
        if (found.get(member.pid)?.startTime === member.startTime) living.add(tree);
        else if (signalProcess(member, "SIGSTOP")) {
          found.set(member.pid, member);
          living.add(tree);
        } else if (!isAlive(member)) {
          // It has just ended, and may have started somebody before.
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

/** The living processes of a command, of those in the snapshot. */
export function membersOf(tree: ProcessTree, { processes, environment }: Snapshot): ProcessEntry[] {
  const { root, notBefore, marker } = tree;
  const young = processes.filter(({ pid, startTime }) => startTime >= notBefore && pid !== process.pid);
  const members = new Set<ProcessEntry>();
  // As long as a group or session has members nobody else gets its id.
  const ids = new Set<number>();
  const holder = root && young.find(({ pid }) => pid === root.pid);
  if (root && (holder ? holder.startTime === root.startTime : !tree.rootMayBeGone)) ids.add(root.pid);

  // The dead have no environment any more.
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

function takeSnapshot(trees: readonly ProcessTree[]): Snapshot & { doubts: Doubts } {
  const environments = new Map<number, Set<string> | undefined>();
  const oldest = Math.min(...trees.map(({ notBefore }) => notBefore));
  const doubts: Doubts = { unsettled: false, missed: false };
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

/** Without /proc the group is all that can be found, and only while the command's own process keeps its id. */
function killGroups(trees: readonly ProcessTree[]): Set<ProcessTree> {
  return new Set(
    trees.filter(({ root, rootMayBeGone }) => root && !rootMayBeGone && signalGroup(root.pid, "SIGKILL")),
  );
}
