/** Tells a worker which of its runs are to be cancelled, whichever node was asked for it. */
import type { Deps } from "../deps.ts";
import { RENEW_EVERY_MS } from "../queue/messages.ts";
import { cancelRequests } from "../runs/cancel.ts";

interface Watched {
  runId: string;
  ask: () => void;
}

/** One watched run, until it is disposed of. */
export interface Cancellation extends Disposable {
  /** Resolves when the run is to be cancelled, and never otherwise. */
  asked: Promise<void>;
}

export interface Cancellations {
  /** To be called before the attempt begins: what is asked from then on is not missed. */
  watch(runId: string): Cancellation;
  close(): void;
}

/** Listens for signals, and asks the database whenever one may have been missed. */
export function createCancellations(deps: Deps, onError: (error: Error) => void): Cancellations {
  // One run may be here twice: its earlier attempt, given up, may still be dying.
  const watched = new Set<Watched>();
  const ask = (runId: string) => {
    for (const one of watched) if (one.runId === runId) one.ask();
  };
  const look = async () => {
    const ids = new Set([...watched].map(({ runId }) => runId));
    for (const id of await cancelRequests(deps, [...ids])) ask(id);
  };
  const unsubscribe = deps.signals.subscribe((signal) => {
    if (signal.type === "cancel") ask(signal.run);
    if (signal.type === "missed") void look().catch(onError);
  });
  const looking = setInterval(() => void look().catch(onError), RENEW_EVERY_MS);
  return {
    watch(runId) {
      const asked = Promise.withResolvers<void>();
      const one = { runId, ask: asked.resolve };
      watched.add(one);
      return { asked: asked.promise, [Symbol.dispose]: () => void watched.delete(one) };
    },
    close() {
      clearInterval(looking);
      unsubscribe();
    },
  };
}
