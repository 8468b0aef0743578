/** Runs one command inside the runner: starts it, passes its output on within the credit, and ends all its processes. */
import { setTimeout as delay } from "node:timers/promises";
import { type CommandExit, CREDIT_BYTES, type Lease, monotonicMs, type StartOrder } from "./frames.ts";
import type { Journal } from "./journal.ts";
import { type OutputReader, readOutput } from "./output-pipe.ts";
import type { ProcessTree } from "./process-tree.ts";
import { groupIsAlive, type ProcessId, readProcess, signalGroup } from "./processes.ts";
import { hasLeftNothing } from "./quick-check.ts";
import { explainStartFailure, type SpawnedProcess, spawnCommand } from "./spawn-command.ts";
import type { Sweeper } from "./sweeper.ts";

/** What the runner provides to each command. */
export interface CommandContext {
  journal: Journal;
  sweeper: Sweeper;
  /** The pids of the commands that run now; this command adds and removes its own. */
  roots: Set<number>;
  onStarted(root: ProcessId): void;
  /** The memory of the chunk is reused after the call. */
  onOutput(chunk: Buffer): void;
  /** Called once, after everything else. */
  onExited(exit: CommandExit): void;
}

export interface CommandControl {
  /** SIGTERM goes to the process group; SIGKILL ends everything the command started. No effect after its end. */
  signal(signal: "SIGTERM" | "SIGKILL"): void;
  /** The worker has consumed this many bytes of output. */
  grant(bytes: number): void;
  /** Moves the end of the lease. */
  extend(lease: Lease): void;
}

const LONGEST_POLL_MS = 200;
const LEASE_EXPIRED: CommandExit = { kind: "lease_expired" };

/** Runs a command; `command` is its number in the journal. */
export function runCommand(command: number, order: StartOrder, context: CommandContext): CommandControl {
  const { journal, sweeper, roots } = context;
  let tree: ProcessTree | undefined;
  let reader: OutputReader | undefined;
  let unconsumed = 0;
  let sent: "SIGTERM" | "SIGKILL" | undefined;
  let ended = false;
  const lease = createLease(() => signal("SIGKILL"));

  function signal(wanted: "SIGTERM" | "SIGKILL"): void {
    // The group may be gone and its id reused. SIGKILL is safe: a sweep checks each process.
    if (ended && wanted === "SIGTERM") return;
    sent = wanted;
    if (tree?.root === undefined) return;
    if (wanted === "SIGTERM") signalGroup(tree.root.pid, wanted);
    else void sweeper.sweep(tree);
  }

  function passOn(chunk: Buffer): boolean {
    context.onOutput(chunk);
    unconsumed += chunk.length;
    return unconsumed < CREDIT_BYTES;
  }

  async function run(): Promise<CommandExit> {
    // A worker that was stopped may send a `start` too late; another worker may already run the attempt.
    if (order.lease && order.lease.untilMs <= monotonicMs()) return LEASE_EXPIRED;
    if (order.lease) lease.extend(order.lease);
    const marker = order.marker.map((name) => `${name}=${order.env[name]}`);
    journal.starting(command, marker);
    const startedMs = monotonicMs();
    let spawned: SpawnedProcess;
    try {
      spawned = await spawnCommand(order);
    } catch (error) {
      return explainStartFailure(order, error);
    }
    const left = treeOf(spawned, marker);
    roots.add(spawned.pid);
    tree = left;
    journal.started(command, left.root);
    context.onStarted(left.root);
    let exit: CommandExit;
    try {
      reader = readOutput(spawned.readFd, passOn);
      if (sent !== undefined) signal(sent);
      exit = await conclude(spawned, reader);
    } catch (error) {
      // Its output cannot be read: it must not go on unseen. The other commands of this runner go on.
      await sweeper.sweep(left);
      roots.delete(spawned.pid);
      return explainStartFailure(order, error);
    }
    if (!hasLeftNothing(left, monotonicMs() - startedMs, (pid) => roots.has(pid))) await sweeper.sweep(left);
    return exit;
  }

  async function conclude(spawned: SpawnedProcess, output: OutputReader): Promise<CommandExit> {
    const end = await spawned.ended;
    ended = true;
    roots.delete(spawned.pid);
    const exit = lease.hasExpired() ? LEASE_EXPIRED : { ...end, signalSent: sent !== undefined };
    await endOutput(spawned.pid, output, () => sent === "SIGTERM");
    return exit;
  }

  void run().then((exit) => {
    lease.end();
    journal.ended(command);
    context.onExited(exit);
  });
  return {
    signal,
    extend: lease.extend,
    grant(bytes) {
      const wasShort = unconsumed >= CREDIT_BYTES;
      unconsumed -= bytes;
      if (wasShort && unconsumed < CREDIT_BYTES) reader?.resume();
    },
  };
}

function treeOf({ pid }: SpawnedProcess, marker: readonly string[]): ProcessTree & { root: ProcessId } {
  const root = { pid, startTime: readProcess(pid)?.startTime ?? 0 };
  return { root, notBefore: root.startTime, marker, rootMayBeGone: false };
}

/** Calls `onExpired` when the lease was not extended in time. */
function createLease(onExpired: () => void) {
  let timer: NodeJS.Timeout | undefined;
  let isExpired = false;
  return {
    extend({ untilMs }: Lease) {
      clearTimeout(timer);
      timer = setTimeout(() => {
        isExpired = true;
        onExpired();
      }, untilMs - monotonicMs());
    },
    hasExpired: () => isExpired,
    end: () => clearTimeout(timer),
  };
}

/** The grace period is for the whole group: the shell ends at once, while its program still cleans up and prints. */
async function endOutput(groupId: number, output: OutputReader, isPatient: () => boolean): Promise<void> {
  await groupEnds(groupId, isPatient);
  await output.drain();
  output.close();
}

/** Resolves when the group has ended, or when `isPatient` turns false. */
async function groupEnds(groupId: number, isPatient: () => boolean): Promise<void> {
  for (let pollMs = 10; isPatient() && groupIsAlive(groupId); pollMs *= 2) {
    await delay(Math.min(pollMs, LONGEST_POLL_MS));
  }
}
