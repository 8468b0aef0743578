/** Kills what commands leave behind: one scan of /proc serves many commands, and scans are spaced out. */
import { killTrees, type ProcessTree } from "./process-tree.ts";

export interface Sweeper {
  /** Resolves when no process of the command is left, or after 2 s if some cannot be killed. */
  sweep(tree: ProcessTree): Promise<void>;
}

/** Shortest pause between two scans of /proc, in ms; commands that end meanwhile share the next scan. */
const REST_MS = 5;
/** Pause per duration of the last scan: scanning takes at most a fifth of the time. */
const REST_PER_SCAN = 4;
/** Consecutive empty scans required when a scan may have missed a process. */
const EMPTY_SCANS_IN_DOUBT = 3;
/** A process in an uninterruptible system call dies only when the call returns; we do not wait longer. */
const PATIENCE_MS = 2_000;

interface Request {
  tree: ProcessTree;
  until: number;
  /** Consecutive scans that found no process of the command. */
  emptyScans: number;
  done: () => void;
}

export function createSweeper(): Sweeper {
  let requests: Request[] = [];
  let isScheduled = false;
  let restUntil = 0;

  function scan(): void {
    const startedAt = performance.now();
    const { living, unsettled, missed } = killTrees(requests.map(({ tree }) => tree));
    const endedAt = performance.now();
    restUntil = endedAt + Math.max(REST_MS, REST_PER_SCAN * (endedAt - startedAt));
    for (const request of requests)
      request.emptyScans = living.has(request.tree) ? 0 : request.emptyScans + 1;
    const enough = unsettled || missed ? EMPTY_SCANS_IN_DOUBT : 1;
    const isDone = ({ emptyScans, until }: Request) => emptyScans >= enough || endedAt > until;
    for (const request of requests) if (isDone(request)) request.done();
    requests = requests.filter((request) => !isDone(request));
    isScheduled = false;
    schedule();
  }

  function schedule(): void {
    if (isScheduled || requests.length === 0) return;
    isScheduled = true;
    const restMs = restUntil - performance.now();
    if (restMs > 0) setTimeout(scan, restMs);
    else setImmediate(scan);
  }

  return {
    sweep(tree) {
      return new Promise((done) => {
        requests.push({ tree, until: performance.now() + PATIENCE_MS, emptyScans: 0, done });
        schedule();
      });
    },
  };
}
