/** Keeps recovering: settles what dead workers left, and looks for what fell through, on every node. */
import { setTimeout as delay } from "node:timers/promises";
import type { Deps } from "../deps.ts";
import { startClaimLoop } from "../queue/claim-loop.ts";
import { type AttemptMessage, LOST_QUEUE } from "../queue/messages.ts";
import { ClaimLost } from "../queue/queue.ts";
import { recoverRuns, settleLost } from "./recover.ts";

const EVERY_MS = 60_000;
const CONCURRENCY = 4;

export interface Recovery {
  stop(): Promise<void>;
}

export function startRecovery(deps: Deps, onError: (error: Error) => void): Recovery {
  const { engine, signals } = deps;
  const loop = startClaimLoop<AttemptMessage>({
    engine,
    signals,
    queue: LOST_QUEUE,
    concurrency: CONCURRENCY,
    handle: (message) => settleLost(deps, message),
    onError: (error) => {
      // Another node has settled it.
      if (!(error instanceof ClaimLost)) onError(error);
    },
  });
  const stopping = new AbortController();
  const recovering = (async () => {
    while (!stopping.signal.aborted) {
      await recoverRuns(deps).catch(onError);
      await delay(EVERY_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await Promise.all([loop.stop(), recovering]);
    },
  };
}
