/** Limits how many deliveries are in progress to one host, and says how long the others wait. */

/** Deliveries in progress to one host, at most, so that a dead receiver does not delay the others. */
const PER_HOST = 8;
/** The waits (ms) of a delivery to a busy host: the first to wait come back soon, a long line comes back rarely. */
const SHORTEST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;
/** How long (ms) a host that says nothing may hold one place: the time limit of a request. */
const SLOW_TRY_MS = 15_000;

interface Host {
  inProgress: number;
  /** When the line of those who wait will be through, if the host stays slow; monotonic ms. */
  lineEndsAt: number;
}

export interface BusyHosts {
  /** Takes a place of the host, or returns how long (ms) to wait. */
  enter(host: string): { leave(): void } | { waitMs: number };
}

export function createBusyHosts(now: () => number = () => performance.now()): BusyHosts {
  const hosts = new Map<string, Host>();
  return {
    enter(name) {
      const host = hosts.get(name) ?? { inProgress: 0, lineEndsAt: 0 };
      hosts.set(name, host);
      if (host.inProgress >= PER_HOST) {
        const earliest = now() + SHORTEST_WAIT_MS;
        host.lineEndsAt = Math.min(
          Math.max(host.lineEndsAt, earliest) + SLOW_TRY_MS / PER_HOST,
          now() + LONGEST_WAIT_MS,
        );
        return { waitMs: host.lineEndsAt - now() };
      }
      host.inProgress++;
      return {
        leave() {
          host.inProgress--;
          if (host.inProgress === 0) hosts.delete(name);
        },
      };
    },
  };
}
