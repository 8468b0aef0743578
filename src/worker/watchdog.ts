/** Notices that a runner hangs: asks it now and then, while it has something to do, and counts how long it is silent. */

export interface WatchdogOptions {
  /** A runner that is silent for so long hangs; in ms. */
  confirmMs: number;
  /** Only a runner that has commands is asked. */
  isBusy(): boolean;
  /** Whether a command should have ended because its lease is over: then two ticks of silence are enough. */
  isLeaseOver(): boolean;
  /** Asks for an answer. */
  ping(): void;
  onSilence(): void;
}

export interface Watchdog {
  /** From now on it is watched, until it is busy no more. */
  watch(): void;
  /** Whatever it says is a sign of life. */
  heard(): void;
  stop(): void;
}

/** From one question to the next, in ms, and so often at least in `confirmMs`. */
const TICK_MS = 500;
const LEAST_TICKS = 10;
/** A lease is over 3 s before another worker may take over: until then all must be killed. */
const TICKS_WITHOUT_LEASE = 2;

/**
 * Time is counted in turns of our own event loop: when it was us who stood still, one turn has passed, and the
 * answer waits to be read.
 */
export function createWatchdog(options: WatchdogOptions): Watchdog {
  const { confirmMs, isBusy, isLeaseOver, ping, onSilence } = options;
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
    else if (++silentTicks >= (isLeaseOver() ? TICKS_WITHOUT_LEASE : patience)) {
      // What has come meanwhile is read first.
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
