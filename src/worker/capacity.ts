/** Lowers the number of commands that a worker runs at once while its machine has no resources for more. */

/** The first pause (ms) after a refused start; each further one is twice as long. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

export interface Capacity {
  /** How many commands may be started now, beside those that run. */
  free(running: number): number;
  /** The machine had no resources for a command beside `running` others. */
  refused(running: number): void;
  /** A command ran: the machine has resources again. */
  ran(): void;
}

/** @param most the number of commands at once while there is no lack */
export function createCapacity(most: number): Capacity {
  let places = most;
  let pauseMs = 0;
  let pausedUntil = 0;
  return {
    free: (running) => (performance.now() < pausedUntil ? 0 : Math.max(0, places - running)),
    refused(running) {
      places = Math.max(1, Math.min(places, running));
      const now = performance.now();
      // Those that were refused together count once.
      if (now < pausedUntil) return;
      pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, 2 * pauseMs));
      pausedUntil = now + pauseMs;
    },
    ran() {
      places = Math.min(most, places + 1);
      pauseMs = 0;
    },
  };
}
