/** Kills what commands leave behind, many with one look at /proc, and not looking all the time. */
import { killTrees, type ProcessTree } from "./process-tree.ts";

export interface Sweeper {
  /** Resolves when nothing of the command is left, or what is left cannot be killed within 2 s. */
  sweep(tree: ProcessTree): Promise<void>;
}

/** Rest between two looks at /proc, in ms; commands that end meanwhile share the next one. */
const REST_MS = 5;
/** A look that takes long is followed by a long rest, so that looking takes a fifth of the time at most. */
const REST_PER_LOOK = 4;
/** Looks that must find nothing when each may have overlooked something: the next one sees what that one could not. */
const QUIET_IN_DOUBT = 3;
/** A process that hangs in the kernel dies when that lets go of it. */
const PATIENCE_MS = 2_000;

interface Request {
  tree: ProcessTree;
  until: number;
  /** Looks in a row that found nothing of it. */
  quiet: number;
  done: () => void;
}

export function createSweeper(): Sweeper {
  let requests: Request[] = [];
  let isScheduled = false;
  let restUntil = 0;

  function look(): void {
    const startedAt = performance.now();
    const { living, unsettled, missed } = killTrees(requests.map(({ tree }) => tree));
    const endedAt = performance.now();
    restUntil = endedAt + Math.max(REST_MS, REST_PER_LOOK * (endedAt - startedAt));
    for (const request of requests) request.quiet = living.has(request.tree) ? 0 : request.quiet + 1;
    const enough = unsettled || missed ? QUIET_IN_DOUBT : 1;
    const isDone = ({ quiet, until }: Request) => quiet >= enough || endedAt > until;
    for (const request of requests) if (isDone(request)) request.done();
    requests = requests.filter((request) => !isDone(request));
    isScheduled = false;
    schedule();
  }

  function schedule(): void {
    if (isScheduled || requests.length === 0) return;
    isScheduled = true;
    const restMs = restUntil - performance.now();
    if (restMs > 0) setTimeout(look, restMs);
    else setImmediate(look);
  }

  return {
    sweep(tree) {
      return new Promise((done) => {
        requests.push({ tree, until: performance.now() + PATIENCE_MS, quiet: 0, done });
        schedule();
      });
    },
  };
}
