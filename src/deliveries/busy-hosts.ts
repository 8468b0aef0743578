/** Limits the deliveries in progress to one host, so that a slow or dead host takes no places from the others. */
import { afterTry, type Circuit, CLOSED } from "./rules/circuit.ts";

/** Deliveries in progress to one host, at most. */
const PER_HOST = 8;
/** Deliveries to one host that wait in memory for a place, at most; a slow host has fewer. */
const MOST_WAITING = 56;
/** The longest time (ms) that a delivery should wait in memory. */
const WAIT_MS = 1_000;
/** How long (ms) a try to a host is taken to last before the first one has ended. */
const ASSUMED_TRY_MS = 1_000;
/** A host is slow when a try takes longer (ms); it stalls when no try ends for so long. */
const SLOW_MS = 2_000;
/** What is known of an idle host is forgotten after this time (ms). */
const FORGET_MS = 600_000;
/** Another process may have claimed the delivery of a probe after this time (ms); then another one is let go. */
const CLAIM_PROBE_MS = 5_000;

const MOST = {
  ...{ hold: Number.POSITIVE_INFINITY, release: Number.POSITIVE_INFINITY },
  ...{ some: PER_HOST, probe: 1 },
};

/** A place at the host, to be left after the try. */
export interface Place {
  /** @param isUp whether the try shows that the host works; undefined when it says nothing about it */
  leave(isUp: boolean | undefined): void;
}

/** What is to be done with the deliveries to a host that wait in the queue. */
export interface Errand {
  host: string;
  /** `hold`: postpone those that are due. `release`, `some`, `probe`: make all, a few or one of the postponed due. */
  task: "hold" | "release" | "some" | "probe";
  /** How many, at most. */
  most: number;
}

export interface BusyHosts {
  /** Resolves when there is a place at the host; undefined: the delivery should go back to the queue. */
  enter(host: string): Promise<Place | undefined>;
  /** Whether a delivery that is claimed now gets a place soon, when `more` others were claimed with it. */
  hasRoom(host: string, more: number): boolean;
  /** The hosts whose deliveries should not be claimed now. */
  full(): string[];
  /** The most deliveries to claim at once, so that none of the busy hosts gets more than it has room for. */
  mostToClaim(): number;
  /** Returns the errands that are due, and expects `done` for each. */
  takeErrands(): Errand[];
  /** Notes how many deliveries an errand has changed; undefined: it has failed, and is due again. */
  done(errand: Errand, changed: number | undefined): void;
}

interface Host {
  inProgress: number;
  waiting: ((place: Place | undefined) => void)[];
  /** The moving average of the duration of a try, in ms. */
  tryMs: number;
  circuit: Circuit;
  /** The circuit is open and its wait is over: one delivery may be tried. */
  mayProbe: boolean;
  /** Since when. */
  probeSince: number;
  /** What its deliveries in the queue still need. */
  errand?: Errand["task"];
  isErrandUnderWay: boolean;
  /** Some of its deliveries may be postponed. */
  isHeld: boolean;
  /** When the latest try ended, or the first began. */
  movedAt: number;
  usedAt: number;
}

/**
 * @param onRoom called when deliveries of a host may be claimed again, or an errand is due
 * @param now the monotonic clock, in ms
 */
export function createBusyHosts(onRoom: () => void, now: () => number = () => performance.now()): BusyHosts {
  const hosts = new Map<string, Host>();

  function hostNamed(name: string): Host {
    const host = hosts.get(name) ?? newHost();
    host.usedAt = now();
    hosts.set(name, host);
    return host;
  }

  function occupy(host: Host): Place {
    if (host.inProgress++ === 0) host.movedAt = now();
    host.mayProbe = false;
    const startedAt = now();
    return {
      leave(isUp) {
        const wasFull = isFull(host);
        host.inProgress--;
        host.usedAt = now();
        host.movedAt = now();
        host.tryMs = (host.tryMs + now() - startedAt) / 2;
        if (isUp === undefined) probeAgain(host);
        else learn(host, afterTry(host.circuit, isUp, startedAt, now()));
        if (host.inProgress < places(host)) host.waiting.shift()?.(occupy(host));
        for (const tooMany of host.waiting.splice(mostWaiting(host))) tooMany(undefined);
        resume(host);
        if ((wasFull && !isFull(host)) || host.errand !== undefined) onRoom();
      },
    };
  }

  function takeErrand(name: string, host: Host): Errand[] {
    const { open } = host.circuit;
    if (open && now() >= open.probeAt && !isProbing(host, now()) && host.inProgress === 0)
      host.errand ??= "probe";
    if (!open && host.inProgress > 0 && isFull(host) && now() - host.movedAt >= SLOW_MS) {
      hold(host);
      host.movedAt = now();
    }
    const isIdle = host.inProgress === 0 && open === undefined && now() - host.usedAt > FORGET_MS;
    if (host.errand === undefined || host.isErrandUnderWay) {
      if (isIdle) hosts.delete(name);
      return [];
    }
    const errand = { host: name, task: host.errand, most: MOST[host.errand] };
    host.isErrandUnderWay = true;
    delete host.errand;
    return [errand];
  }

  return {
    async enter(name) {
      const host = hostNamed(name);
      if (host.inProgress < places(host)) return occupy(host);
      if (host.waiting.length >= mostWaiting(host)) return undefined;
      return new Promise((resolve) => void host.waiting.push(resolve));
    },
    hasRoom: (name, more) => more < room(hosts.get(name) ?? newHost()),
    full: () => [...hosts].flatMap(([name, host]) => (isFull(host) ? [name] : [])),
    mostToClaim() {
      const busy = [...hosts.values()].filter((host) => host.inProgress > 0 && !isFull(host));
      return Math.min(...busy.map(room), Number.MAX_SAFE_INTEGER);
    },
    takeErrands: () => [...hosts].flatMap(([name, host]) => takeErrand(name, host)),
    done({ host: name, task, most }, changed) {
      const host = hostNamed(name);
      host.isErrandUnderWay = false;
      if (changed === undefined) {
        // It is tried again with the next claim, which comes each second even while the database is away.
        host.errand ??= task;
        return;
      }
      if (task === "probe" && host.circuit.open) {
        host.mayProbe = true;
        host.probeSince = now();
      } else if (task === "some" && changed < most) host.isHeld = false;
      onRoom();
    },
  };
}

function newHost(): Host {
  return {
    ...{ inProgress: 0, waiting: [], tryMs: ASSUMED_TRY_MS, movedAt: 0, usedAt: 0 },
    ...{ circuit: CLOSED, mayProbe: false, probeSince: 0, isErrandUnderWay: false, isHeld: false },
  };
}

/** Notes the state of the circuit, and what follows for the deliveries in the queue. */
function learn(host: Host, circuit: Circuit): void {
  if (circuit.open && circuit.open !== host.circuit.open) hold(host);
  host.circuit = circuit;
}

function hold(host: Host): void {
  host.errand = "hold";
  host.isHeld = true;
}

/** Lets the postponed deliveries of a host that works come back: all to a fast one, a few at a time to a slow one. */
function resume(host: Host): void {
  if (!host.isHeld || host.circuit.open) return;
  if (host.tryMs <= SLOW_MS) {
    host.errand = "release";
    host.isHeld = false;
  } else if (!isFull(host)) host.errand = "some";
}

/** A delivery was let go for a probe, and this process may still claim it. */
function isProbing({ mayProbe, probeSince }: Host, now: number): boolean {
  return mayProbe && now - probeSince < CLAIM_PROBE_MS;
}

/** A try that said nothing about the host is no probe, so the next delivery is. */
function probeAgain({ circuit }: Host): void {
  if (circuit.open) circuit.open.probeAt = 0;
}

function places({ circuit, mayProbe, inProgress }: Host): number {
  if (circuit.open === undefined) return PER_HOST;
  return mayProbe && inProgress === 0 ? 1 : 0;
}

function mostWaiting({ circuit, tryMs }: Host): number {
  if (circuit.open !== undefined) return 0;
  return Math.min(MOST_WAITING, Math.floor((PER_HOST * WAIT_MS) / Math.max(tryMs, 1)));
}

function room(host: Host): number {
  return places(host) + mostWaiting(host) - (host.circuit.open ? 0 : host.inProgress + host.waiting.length);
}

/** A host is full until half of its places are free, so that each claim takes several of its deliveries. */
function isFull(host: Host): boolean {
  if (host.circuit.open !== undefined) return places(host) === 0;
  return room(host) < (PER_HOST + mostWaiting(host)) / 2;
}
