/** Limits the deliveries in progress to one host, so that a slow host takes no places from the others. */

/** Deliveries in progress to one host, at most. */
const PER_HOST = 8;
/** Deliveries to one host that wait in memory for a place, at most. */
const MOST_WAITING = 32;
/**
 * The longest time (ms) that a delivery should wait in memory: with the try itself it must end before its claim does.
 * A host that takes longer for its queue gets fewer waiting deliveries; the others are postponed.
 */
const WAIT_MS = 10_000;
/** How long (ms) a try to a host is taken to last before the first one has ended. */
const ASSUMED_TRY_MS = 200;
/** What is known of an idle host is forgotten, unless its tries take longer than this (ms). */
const FORGET_MS = 1_000;
/** A postponed delivery comes back after its share of the queue, but not sooner or later than this (ms). */
const SHORTEST_POSTPONE_MS = 1_000;
const LONGEST_POSTPONE_MS = 60_000;

/** A place at the host, to be left after the try. */
export interface Place {
  leave(): void;
}

/** There is no place: the delivery should be postponed for this long (ms). */
export interface NoPlace {
  postponeMs: number;
}

export interface BusyHosts {
  /** Resolves when there is a place at the host, or when waiting for one would take too long. */
  enter(host: string): Promise<Place | NoPlace>;
}

interface Host {
  inProgress: number;
  waiting: ((answer: Place | NoPlace) => void)[];
  /** The moving average of the duration of a try, in ms. */
  tryMs: number;
  /** When the postponed deliveries will have been tried, in monotonic ms. */
  postponedUntil: number;
}

/** @param now the monotonic clock, in ms */
export function createBusyHosts(now: () => number = () => performance.now()): BusyHosts {
  const hosts = new Map<string, Host>();

  function occupy(name: string, host: Host): Place {
    host.inProgress++;
    const startedAt = now();
    return {
      leave() {
        host.inProgress--;
        host.tryMs = (host.tryMs + now() - startedAt) / 2;
        host.waiting.shift()?.(occupy(name, host));
        for (const tooMany of host.waiting.splice(mostWaiting(host))) tooMany(postpone(host));
        if (host.inProgress === 0 && host.tryMs <= FORGET_MS) hosts.delete(name);
      },
    };
  }

  function postpone(host: Host): NoPlace {
    const next = Math.max(host.postponedUntil, now() + SHORTEST_POSTPONE_MS) + host.tryMs / PER_HOST;
    host.postponedUntil = Math.min(next, now() + LONGEST_POSTPONE_MS);
    return { postponeMs: host.postponedUntil - now() };
  }

  return {
    async enter(name) {
      const host = hosts.get(name) ?? {
        inProgress: 0,
        waiting: [],
        tryMs: ASSUMED_TRY_MS,
        postponedUntil: 0,
      };
      hosts.set(name, host);
      if (host.inProgress < PER_HOST) return occupy(name, host);
      if (host.waiting.length >= mostWaiting(host)) return postpone(host);
      return new Promise((resolve) => void host.waiting.push(resolve));
    },
  };
}

function mostWaiting({ tryMs }: Host): number {
  return Math.min(MOST_WAITING, Math.floor((PER_HOST * WAIT_MS) / tryMs));
}
