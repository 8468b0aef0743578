/** Tells a worker which of its runs must be cancelled, whichever node received the request. */
import type { Infra } from "../infra.ts";
import { RENEW_EVERY_MS } from "../queue/messages.ts";
import { findCancelRequests } from "../runs/cancel.ts";

interface WatchedRun {
  runId: string;
  cancel: () => void;
}

/** The watch on one run; ends when it is disposed. */
export interface Cancellation extends Disposable {
  /** Resolves when a cancel of the run is requested; stays pending otherwise. */
  requested: Promise<void>;
}

export interface Cancellations {
  /** Call it before the attempt begins: later requests are not missed. */
  watch(runId: string): Cancellation;
  close(): void;
}

/** Listens for signals, and also asks the database every 4 s and whenever a signal may have been missed. */
export function createCancellations({ db, signals }: Infra, onError: (error: Error) => void): Cancellations {
  // A run may be here twice: an earlier attempt that was given up may still be ending.
  const watched = new Set<WatchedRun>();
  const cancel = (runId: string) => {
    for (const one of watched) if (one.runId === runId) one.cancel();
  };
  const poll = async () => {
    const ids = new Set([...watched].map(({ runId }) => runId));
    if (ids.size === 0) return;
    for (const id of await findCancelRequests(db.prisma, [...ids])) cancel(id);
  };
  const unsubscribe = signals.subscribe((signal) => {
    if (signal.type === "cancel") cancel(signal.run);
    if (signal.type === "missed") void poll().catch(onError);
  });
  const polling = setInterval(() => void poll().catch(onError), RENEW_EVERY_MS);
  return {
    watch(runId) {
      const requested = Promise.withResolvers<void>();
      const one = { runId, cancel: requested.resolve };
      watched.add(one);
      return { requested: requested.promise, [Symbol.dispose]: () => void watched.delete(one) };
    },
    close() {
      clearInterval(polling);
      unsubscribe();
    },
  };
}
