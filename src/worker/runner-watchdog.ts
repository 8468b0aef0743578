/** Detects a hung runner: pings it while it has commands, and counts how long it does not answer. */

export interface WatchdogOptions {
  /** A runner that does not answer for this long counts as hung; in ms. */
  confirmMs: number;
  /** Whether the runner has commands; only then it is pinged. */
  isBusy(): boolean;
  /** Whether the lease of a command has expired although the command has not ended: then two silent ticks are enough. */
  isLeaseExpired(): boolean;
  /** Sends a ping. */
  ping(): void;
  onSilence(): void;
}

export interface Watchdog {
  /** Watches the runner until it has no commands. */
  watch(): void;
  /** To be called for everything that the runner sends. */
  heard(): void;
  stop(): void;
}

/** Time between two checks, in ms; shorter when `confirmMs` would have fewer than `LEAST_TICKS`. */
const TICK_MS = 500;
const LEAST_TICKS = 10;
/** A lease expires 3 s before another worker may take over; everything must be killed by then. */
const TICKS_WITHOUT_LEASE = 2;

/**
 * Creates a watchdog. It counts ticks of our own event loop instead of time: if this process was stopped, only one
 * tick has passed, and the answer is still waiting to be read.
 */
export function createWatchdog(options: WatchdogOptions): Watchdog {
  const { confirmMs, isBusy, isLeaseExpired, ping, onSilence } = options;
  const tickMs = Math.min(TICK_MS, confirmMs / LEAST_TICKS);
  const patience = Math.round(confirmMs / tickMs);
  let timer: NodeJS.Timeout | undefined;
  let silentTicks = 0;

  function ask(): void {
    silentTicks = 0;
    ping();
  }

  function tick(): void {
    if (!isBusy()) stop();
    else if (silentTicks < 0) ask();
    else if (++silentTicks >= (isLeaseExpired() ? TICKS_WITHOUT_LEASE : patience)) {
      // Data that has arrived meanwhile is read first.
      setImmediate(() => {
        if (timer === undefined || silentTicks <= 0) return;
        stop();
        onSilence();
      });
    }
  }

  function stop(): void {
    clearInterval(timer);
    timer = undefined;
  }

  return {
    watch() {
      if (timer !== undefined) return;
      timer = setInterval(tick, tickMs).unref();
      ask();
    },
    heard() {
      silentTicks = -1;
    },
    stop,
  };
}
