/** One command in the runner: started, its output passed on as far as there is credit, ended with all it has started. */
import { setTimeout as delay } from "node:timers/promises";
import {
  CREDIT_BYTES,
  type Exited,
  type Lease,
  monotonicMs,
  type Started,
  type StartOrder,
} from "./frames.ts";
import type { Journal } from "./journal.ts";
import { type OutputReader, readOutput } from "./output-pipe.ts";
import type { ProcessTree } from "./process-tree.ts";
import { groupIsAlive, readProcess, signalGroup } from "./processes.ts";
import { type Spawned, spawnCommand } from "./spawn-command.ts";
import { explainStartFailure } from "./start-failure.ts";
import type { Sweeper } from "./sweeper.ts";

/** What a command needs of the runner. */
export interface Surroundings {
  journal: Journal;
  sweeper: Sweeper;
  onStarted(started: Started): void;
  /** The chunk's memory is used again. */
  onOutput(chunk: Buffer): void;
  /** The last that is heard of it. */
  onExited(exited: Exited): void;
}

export interface CommandControl {
  /** SIGTERM goes to the group; SIGKILL ends all that the command has started. Nothing once it has ended. */
  signal(signal: "SIGTERM" | "SIGKILL"): void;
  /** So many bytes of output were consumed. */
  grant(bytes: number): void;
  /** Lets it run until then. */
  extend(lease: Lease): void;
}

const LONGEST_POLL_MS = 200;

/** Runs a command. Its number is how the journal names it. */
export function runCommand(command: number, order: StartOrder, surroundings: Surroundings): CommandControl {
  const { journal, sweeper } = surroundings;
  let tree: ProcessTree | undefined;
  let reader: OutputReader | undefined;
  let unconsumed = 0;
  let sent: "SIGTERM" | "SIGKILL" | undefined;
  let ended = false;
  let leaseOver = false;
  let leaseTimer: NodeJS.Timeout | undefined;

  function signal(wanted: "SIGTERM" | "SIGKILL"): void {
    // Its group may be gone, and the id somebody else's. A sweep looks who has it.
    if (ended && wanted === "SIGTERM") return;
    sent = wanted;
    if (tree?.root === undefined) return;
    if (wanted === "SIGTERM") signalGroup(tree.root.pid, wanted);
    else void sweeper.sweep(tree);
  }

  function extend({ untilMs }: Lease): void {
    clearTimeout(leaseTimer);
    leaseTimer = setTimeout(() => {
      leaseOver = true;
      signal("SIGKILL");
    }, untilMs - monotonicMs());
  }

  function passOn(chunk: Buffer): boolean {
    surroundings.onOutput(chunk);
    unconsumed += chunk.length;
    return unconsumed < CREDIT_BYTES;
  }

  async function run(): Promise<Exited> {
    // A frame that comes late, from a worker that stood still, starts nothing.
    if (order.lease && order.lease.untilMs <= monotonicMs()) return { kind: "lease_over" };
    if (order.lease) extend(order.lease);
    const marker = order.marker.map((name) => `${name}=${order.env[name]}`);
    journal.starting(command, marker);
    let spawned: Spawned;
    try {
      spawned = await spawnCommand(order);
    } catch (error) {
      return explainStartFailure(order, error);
    }
    const root = { pid: spawned.pid, startTime: readProcess(spawned.pid)?.startTime ?? 0 };
    tree = { root, notBefore: root.startTime, marker, rootMayBeGone: false };
    journal.started(command, root);
    surroundings.onStarted(root);
    reader = readOutput(spawned.readFd, passOn);
    if (sent !== undefined) signal(sent);
    return await conclude(spawned, reader, tree);
  }

  async function conclude(spawned: Spawned, output: OutputReader, left: ProcessTree): Promise<Exited> {
    const end = await spawned.ended;
    ended = true;
    const exited: Exited = leaseOver ? { kind: "lease_over" } : { ...end, signalSent: sent !== undefined };
    // The grace is the whole group's: a shell dies of SIGTERM at once, the program it runs cleans up.
    for (let pollMs = 10; sent === "SIGTERM" && groupIsAlive(spawned.pid); pollMs *= 2) {
      await delay(Math.min(pollMs, LONGEST_POLL_MS));
    }
    await output.drain();
    output.close();
    await sweeper.sweep(left);
    return exited;
  }

  void run().then((exited) => {
    clearTimeout(leaseTimer);
    journal.ended(command);
    surroundings.onExited(exited);
  });
  return {
    signal,
    extend,
    grant(bytes) {
      const wasShort = unconsumed >= CREDIT_BYTES;
      unconsumed -= bytes;
      if (wasShort && unconsumed < CREDIT_BYTES) reader?.resume();
    },
  };
}
