/** Keeps the beat: once at the start, and then at each second of the database's clock. */
import type { Logger } from "pino";
import type { Infra } from "../infra.ts";
import { type Monitor, type Part, startTicking } from "../lifecycle.ts";
import { createBeat } from "./beat.ts";

export interface Scheduler extends Part {
  /** Milliseconds since the last beat that went well. */
  sinceLastBeat(): number;
  /** How late (ms) the latest beat began. */
  beatLateness(): number;
}

const BEAT_MS = 1_000;
/** A beat aims so far (ms) behind the whole second: one that comes too early does not see the slots of that second. */
const MARGIN_MS = 5;

/**
 * The timer runs on the monotonic clock, so a step of this machine's clock moves no beat. The first beat begins at
 * once, before the API lets anybody change what a gap is judged by.
 */
export function startScheduler(
  infra: Infra,
  { defaultTimezone, monitor, log }: { defaultTimezone: string; monitor: Monitor; log: Logger },
): Scheduler {
  const beat = createBeat(infra, { defaultTimezone, log });
  let lastBeat = performance.now();
  let lateness = 0;
  /** Of the next beat, on the monotonic clock in ms. */
  let dueAt = lastBeat;
  const tick = async () => {
    const startedAt = performance.now();
    lateness = Math.max(0, startedAt - dueAt);
    dueAt = startedAt + BEAT_MS;
    const now = await beat();
    lastBeat = performance.now();
    // The beat read the database's clock when it began: the next one follows the end of that second.
    dueAt = startedAt + BEAT_MS - (now.getTime() % BEAT_MS) + MARGIN_MS;
  };
  return {
    ...startTicking({ monitor, tick, waitMs: () => Math.max(0, dueAt - performance.now()) }),
    sinceLastBeat: () => performance.now() - lastBeat,
    beatLateness: () => lateness,
  };
}
