/** The scheduler part: does one beat at the start, and one at each second of the database's clock. */
import type { Logger } from "pino";
import type { Infra } from "../infra.ts";
import { type Monitor, type Part, startTicking } from "../lifecycle.ts";
import { createBeat } from "./beat.ts";

export interface Scheduler extends Part {
  /** Milliseconds since the last successful beat. */
  sinceLastBeat(): number;
  /** How late (ms) the latest beat began. */
  beatLateness(): number;
}

const BEAT_MS = 1_000;
/** How long (ms) after the whole second a beat starts. A beat that starts too early misses the slots of that second. */
const MARGIN_MS = 5;

/**
 * Starts the scheduler. The timer uses the monotonic clock, so a step of this machine's clock has no effect. The first
 * beat starts at once, before the API accepts saves, because a gap is judged by the definitions of its time.
 */
export function startScheduler(
  infra: Infra,
  { defaultTimezone, monitor, log }: { defaultTimezone: string; monitor: Monitor; log: Logger },
): Scheduler {
  const beat = createBeat(infra, { defaultTimezone, log });
  let lastBeat = performance.now();
  let lateness = 0;
  /** When the next beat is due, in ms on the monotonic clock. */
  let dueAt = lastBeat;
  const tick = async () => {
    const startedAt = performance.now();
    lateness = Math.max(0, startedAt - dueAt);
    dueAt = startedAt + BEAT_MS;
    const now = await beat();
    lastBeat = performance.now();
    // `now` is the database's time when the beat started. The next beat is due at the end of that second.
    dueAt = startedAt + BEAT_MS - (now.getTime() % BEAT_MS) + MARGIN_MS;
  };
  return {
    ...startTicking({ monitor, tick, waitMs: () => Math.max(0, dueAt - performance.now()) }),
    sinceLastBeat: () => performance.now() - lastBeat,
    beatLateness: () => lateness,
  };
}
