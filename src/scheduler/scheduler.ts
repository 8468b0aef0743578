/** Keeps the beat: once at the start, and then each second. */
import { schedule } from "node-cron";
import type { Logger } from "pino";
import type { Deps } from "../deps.ts";
import { createBeat } from "./beat.ts";

export interface Scheduler {
  /** Milliseconds since the last beat that went well. */
  sinceLastBeat(): number;
  /** How late (ms) the latest beat began. */
  beatLateness(): number;
  stop(): Promise<void>;
}

export function startScheduler(deps: Deps, log: Logger): Scheduler {
  const beat = createBeat(deps, log);
  let lastBeat = performance.now();
  let lateness = 0;
  let beating: Promise<void> | undefined;
  const beatOnce = (dueAt: number): Promise<void> => {
    if (beating !== undefined) return beating;
    lateness = Math.max(0, Date.now() - dueAt);
    beating = beat()
      .then(
        () => {
          lastBeat = performance.now();
        },
        (error) => log.error({ err: error }, "a beat failed; the next one makes up for it"),
      )
      .finally(() => {
        beating = undefined;
      });
    return beating;
  };
  // At once, before the API lets anybody change what a gap is judged by.
  void beatOnce(Date.now());
  const task = schedule("* * * * * *", ({ date }) => beatOnce(date.getTime()), {
    noOverlap: true,
    logger: cronLogger(log),
  });
  return {
    sinceLastBeat: () => performance.now() - lastBeat,
    beatLateness: () => lateness,
    async stop() {
      await task.destroy();
      await beating;
    },
  };
}

/** node-cron's own remarks, such as a late beat, go to our log. */
function cronLogger(log: Logger) {
  return {
    info: (message: string) => log.debug(message),
    warn: (message: string) => log.warn(message),
    error: (message: string | Error) => log.error(message),
    debug: (message: string | Error) => log.debug(message),
  };
}
