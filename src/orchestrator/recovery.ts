/** Keeps recovering: settles what dead workers left, and looks for what fell through, on every node. */
import { startClaimLoop } from "../engine/claim-loop.ts";
import { ClaimLost } from "../engine/engine.ts";
import { type AttemptMessage, LOST_QUEUE } from "../engine/queues.ts";
import type { Deps } from "./deps.ts";
import { recoverRuns, settleLost } from "./recover-runs.ts";

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
  let recovering = Promise.resolve();
  const recover = () => {
    recovering = recoverRuns(deps).then(() => undefined, onError);
  };
  recover();
  const timer = setInterval(recover, EVERY_MS);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all([loop.stop(), recovering]);
    },
  };
}
