/** The one shape of all long-running parts: each works until it is stopped, reports its health, and stops in time. */
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";

/** How a part is doing. */
export interface Health {
  name: string;
  /** Time since its last success, or since its start while there was none, in ms. */
  sinceSuccessMs: number;
  /** Errors since its start. */
  errors: number;
  /** The message of its latest error; undefined when a success has followed, or there was none. */
  lastError: string | undefined;
  /** Time since the latest error, in ms; undefined: there was none. */
  sinceErrorMs: number | undefined;
  /** It has had no success for longer than it should. */
  isLate: boolean;
}

/** Something that works in the background from its start until it is stopped. */
export interface Part {
  readonly name: string;
  /** How long `stop` may take, in ms; nobody waits longer. */
  readonly stopMs: number;
  /**
   * Begins nothing more and ends what is under way.
   * @param deadline aborted when `stopMs` are over: what still hangs is to be broken off
   */
  stop(deadline?: AbortSignal): Promise<void>;
  /** Absent where a part has no work of its own that could fail. */
  health?(): Health;
}

/** Counts the errors of a part and logs each once. */
export interface Monitor {
  readonly name: string;
  succeeded(): void;
  failed(error: unknown): void;
  health(): Health;
}

/** @param lateAfterMs a part without a success for so long is late; absent: it may take any time */
export function createMonitor(name: string, log: Logger, lateAfterMs = Number.POSITIVE_INFINITY): Monitor {
  let succeededAt = performance.now();
  let errors = 0;
  /** Messages since the last success: a database that is away would fill the log with one error. */
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
      log[level]({ err: error, part: name }, `${name} had an error, and goes on`);
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

/**
 * Does `tick` at once, and again `waitMs` after each end, until it is stopped; ticks never overlap.
 * @param tick what it waits for must be bounded; `stopping` asks it to end early
 * @param waitMs asked after each tick, in ms
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
      await pause(waitMs(), signal);
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

/** Waits, at most until the signal is aborted; never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal }).catch(() => undefined);
}

/** Rejects when a promise takes longer than `limitMs`; what it does goes on, and its late result is dropped. */
export async function within<T>(work: Promise<T>, limitMs: number, what: string): Promise<T> {
  const over = new AbortController();
  const late = delay(limitMs, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${what} took longer than ${limitMs / 1_000} s`);
  });
  late.catch(() => undefined);
  return Promise.race([work, late]).finally(() => over.abort());
}

/**
 * The order in which parts are stopped, those of one stage together: nothing new comes in; commands get their grace;
 * what their ends need goes on until then; connections; the embedded Postgres.
 */
const STAGES = ["intake", "work", "background", "connections", "storage"] as const;
export type Stage = (typeof STAGES)[number];

/** All parts of one process. */
export interface Parts {
  /** To be called as soon as a part has been started. */
  add(stage: Stage, ...parts: Part[]): void;
  health(): Health[];
  /**
   * Stops everything, stage by stage. Nobody waits for a part longer than its `stopMs`: what did not end in time is
   * logged and left behind.
   */
  stop(): Promise<void>;
}

export function createParts(log: Logger): Parts {
  const stages = new Map<Stage, Part[]>(STAGES.map((stage) => [stage, []]));
  const partsOf = (stage: Stage) => stages.get(stage) ?? [];
  const stopPart = async (part: Part): Promise<string[]> => {
    const deadline = new AbortController();
    try {
      await within(part.stop(deadline.signal), part.stopMs, `stopping ${part.name}`);
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
