/** The lifecycle of all long-running parts: each runs until it is stopped, reports its health and stops in time. */
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";

/** The health of a part. */
export interface Health {
  name: string;
  /** Time since the last success, in ms; before the first success, time since the start. */
  sinceSuccessMs: number;
  /** The number of errors since the start. */
  errors: number;
  /** The message of the latest error; undefined when a success has followed or there was no error. */
  lastError: string | undefined;
  /** Time since the latest error, in ms; undefined when there was no error. */
  sinceErrorMs: number | undefined;
  /** Whether the last success is longer ago than the part's limit allows. */
  isLate: boolean;
}

/** A part of the service that runs in the background until it is stopped. */
export interface Part {
  readonly name: string;
  /** The longest time that the service waits for `stop`, in ms. */
  readonly stopMs: number;
  /**
   * Starts no new work and finishes the current work.
   * @param deadline aborted after `stopMs`: the part must then abort whatever still hangs
   */
  stop(deadline?: AbortSignal): Promise<void>;
  /** Absent when the part has no work that could fail. */
  health?(): Health;
}

/** Records the successes and errors of a part, and logs each error once. */
export interface Monitor {
  readonly name: string;
  succeeded(): void;
  failed(error: unknown): void;
  health(): Health;
}

/**
 * Creates the monitor of a part.
 * @param lateAfterMs the part is late when it had no success for this long (ms); by default it is never late
 */
export function createMonitor(name: string, log: Logger, lateAfterMs = Number.POSITIVE_INFINITY): Monitor {
  let succeededAt = performance.now();
  let errors = 0;
  /** The messages logged since the last success. Without this an unreachable database would flood the log. */
  const logged = new Set<string>();
  let lastError: string | undefined;
  let failedAt: number | undefined;
  return {
    name,
    succeeded() {
      succeededAt = performance.now();
      if (lastError === undefined) return;
      log.info({ part: name }, `recovered: ${name}`);
      lastError = undefined;
      logged.clear();
    },
    failed(error) {
      errors++;
      failedAt = performance.now();
      lastError = error instanceof Error ? error.message : String(error);
      const level = logged.has(lastError) ? "debug" : "error";
      log[level]({ err: error, part: name }, `${name} had an error and continues`);
      logged.add(lastError);
    },
    health() {
      const now = performance.now();
      const sinceSuccessMs = now - succeededAt;
      const sinceErrorMs = failedAt === undefined ? undefined : now - failedAt;
      return { name, sinceSuccessMs, errors, lastError, sinceErrorMs, isLate: sinceSuccessMs > lateAfterMs };
    },
  };
}

/** Returns a part that only reports the health of work which another part does and stops. */
export function healthOnly({ name, health }: Monitor): Part {
  return { name, stopMs: 0, stop: async () => undefined, health };
}

/**
 * Calls `tick` at once, and again `waitMs()` after each end, until the part is stopped. Ticks never overlap.
 * @param options `tick`: every wait in it must have a time limit, and it should end early once `stopping` is aborted;
 *   `waitMs`: called after each tick, returns ms
 */
export function startTicking(options: {
  monitor: Monitor;
  tick: (stopping: AbortSignal) => Promise<void>;
  waitMs: () => number;
  stopMs?: number;
}): Part {
  const { monitor, tick, waitMs, stopMs = 2_000 } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const ticking = (async () => {
    while (!signal.aborted) {
      await tick(signal).then(monitor.succeeded, monitor.failed);
      await sleep(waitMs(), signal);
    }
  })();
  return {
    name: monitor.name,
    stopMs,
    health: monitor.health,
    async stop() {
      stopping.abort();
      await ticking;
    },
  };
}

/** Names what a start waits for, until it is disposed. */
export interface StartReport extends Disposable {
  /** Says what the start waits for from now on, such as `the database at host:5432`. */
  waitsFor(what: string): void;
}

/** How often (ms) a start that takes long says what it waits for. */
const REPORT_MS = 5_000;

/** Logs every 5 s what the start waits for and for how long, so that a start that hangs explains itself. */
export function reportStart(log: Logger, everyMs = REPORT_MS): StartReport {
  let waiting = { what: "its first part", since: performance.now() };
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - waiting.since) / 1_000);
    log.warn(`the start has been waiting for ${waiting.what} for ${seconds} s`);
  }, everyMs);
  return {
    waitsFor(what) {
      waiting = { what, since: performance.now() };
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** Waits for `ms`, or until the signal is aborted. Never rejects. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal }).catch(() => undefined);
}

/**
 * Rejects when `work` takes longer than `limitMs`. The work itself continues, and its late result is ignored.
 * @param what names the work in the error
 */
export async function withTimeout<T>(work: Promise<T>, limitMs: number, what: string): Promise<T> {
  const finished = new AbortController();
  const timeout = delay(limitMs, undefined, { signal: finished.signal }).then(() => {
    throw new Error(`${what} took longer than ${limitMs / 1_000} s`);
  });
  timeout.catch(() => undefined);
  return Promise.race([work, timeout]).finally(() => finished.abort());
}

/**
 * The stages of a stop, in order; the parts of one stage stop together.
 * - intake: no new work arrives
 * - work: running commands get their grace
 * - background: the parts that ending commands need
 * - connections: to the database
 * - storage: the embedded Postgres, and the port if the API has not started
 */
const STAGES = ["intake", "work", "background", "connections", "storage"] as const;
export type Stage = (typeof STAGES)[number];

/** All parts of one process. */
export interface Parts {
  /** Adds parts. Must be called as soon as a part has started. */
  add(stage: Stage, ...parts: Part[]): void;
  /** Returns the health of every part that has one. */
  health(): Health[];
  /** Stops all parts, stage by stage. A part that takes longer than its `stopMs` is logged and abandoned. */
  stop(): Promise<void>;
}

/** Creates an empty collection of parts. */
export function createParts(log: Logger): Parts {
  const stages = new Map<Stage, Part[]>(STAGES.map((stage) => [stage, []]));
  const partsOf = (stage: Stage) => stages.get(stage) ?? [];
  const stopPart = async (part: Part): Promise<string[]> => {
    const deadline = new AbortController();
    try {
      await withTimeout(part.stop(deadline.signal), part.stopMs, `stopping ${part.name}`);
      return [];
    } catch (error) {
      deadline.abort();
      log.warn({ err: error, part: part.name }, `${part.name} did not stop cleanly`);
      return [part.name];
    }
  };
  return {
    add: (stage, ...parts) => void partsOf(stage).push(...parts),
    health: () => STAGES.flatMap(partsOf).flatMap((part) => part.health?.() ?? []),
    async stop() {
      const abandoned: string[] = [];
      for (const stage of STAGES) {
        const parts = partsOf(stage).splice(0);
        abandoned.push(...(await Promise.all(parts.map(stopPart))).flat());
      }
      if (abandoned.length > 0)
        log.warn({ parts: abandoned }, `stopped without waiting for ${abandoned.join(", ")}`);
    },
  };
}
