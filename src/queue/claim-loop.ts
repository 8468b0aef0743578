/** Claims messages from one queue while fewer handlers are at work than allowed, and passes each to a handler. */
import { type Monitor, type Part, withTimeout } from "../lifecycle.ts";
import type { Signals } from "./signals.ts";

/** The queue is polled this often, even without signals: promise 7. */
const POLL_MS = 1_000;
/** A claim that takes longer (ms) counts as an error, and the loop claims again. Its messages are handled all the same. */
const CLAIM_LIMIT_MS = 10_000;

export interface ClaimLoop extends Part {
  /** Claims as soon as it can, without waiting for a signal. */
  claimSoon(): void;
}

/**
 * Starts claiming. `stop` ends claiming, and resolves when all handlers have finished.
 * @param closing ends claiming when aborted, before `stop` is called
 * @param claim claims up to `count` messages of the queue
 * @param concurrency the most handlers at work at the same time
 * @param handle does the work and acknowledges the message; throws only for unexpected errors
 * @param monitor counts every successful claim as a success
 */
export function startClaimLoop<Claimed>(options: {
  signals: Signals;
  /** Signals of this queue wake the loop. */
  queueName: string;
  claim: (count: number) => Promise<readonly Claimed[]>;
  concurrency: number;
  /** The most messages to claim at once, where that changes. */
  most?: () => number;
  handle: (claimed: Claimed) => Promise<void>;
  monitor: Monitor;
  stopMs: number;
  closing?: AbortSignal;
}): ClaimLoop {
  const { queueName, claim, concurrency, most, handle, monitor, stopMs, closing } = options;
  const working = new Set<Promise<void>>();
  const alarm = createAlarm();
  let stopped = false;
  /** The last claim was not for all that was due. */
  let mayHaveMore = false;

  const unsubscribe = options.signals.subscribe((signal) => {
    if (signal.type === "missed") alarm.ring();
    if (signal.type === "queue" && signal.queue === queueName) alarm.ringAt(signal.at ?? 0);
  });
  const start = (claimed: Claimed) => {
    const work = handle(claimed).catch(monitor.failed);
    working.add(work);
    void work.then(() => {
      working.delete(work);
      if (mayHaveMore) alarm.ring();
    });
  };
  const claimMessages = async () => {
    const room = Math.min(concurrency - working.size, most?.() ?? concurrency);
    if (room <= 0) {
      mayHaveMore = true;
      return;
    }
    // Each count is a statement of its own that Postgres has to plan: powers of two are few.
    const count = 2 ** Math.floor(Math.log2(room));
    const claiming = claim(count).then((claimed) => {
      for (const one of claimed) start(one);
      return claimed.length;
    });
    const claimed = await withTimeout(claiming, CLAIM_LIMIT_MS, "claiming messages");
    monitor.succeeded();
    mayHaveMore = claimed === count;
    if (mayHaveMore) alarm.ring();
  };
  const run = async () => {
    while (!stopped) {
      const rung = alarm.next(POLL_MS);
      await claimMessages().catch(monitor.failed);
      await rung;
    }
  };
  const stopClaiming = () => {
    stopped = true;
    unsubscribe();
    alarm.close();
  };
  closing?.addEventListener("abort", stopClaiming, { once: true });
  const running = run();
  return {
    name: monitor.name,
    stopMs,
    health: monitor.health,
    claimSoon: alarm.ring,
    async stop() {
      closing?.removeEventListener("abort", stopClaiming);
      stopClaiming();
      await running;
      await Promise.all(working);
    },
  };
}

/** Wakes one waiting loop: when it rings, at set times, or after a timeout. */
function createAlarm() {
  let wake: () => void = () => undefined;
  const timers = new Set<NodeJS.Timeout>();
  const ring = () => wake();
  return {
    ring,
    /** @param at ms since the epoch; with 1,000 times set already, the next poll is early enough */
    ringAt(at: number) {
      const wait = at - Date.now();
      if (wait <= 0) return ring();
      if (timers.size >= 1_000) return;
      const timer = setTimeout(
        () => {
          timers.delete(timer);
          ring();
        },
        Math.min(wait, 2 ** 31 - 1),
      );
      timers.add(timer.unref());
    },
    next(timeoutMs: number): Promise<void> {
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
    close() {
      for (const timer of timers) clearTimeout(timer);
      ring();
    },
  };
}
