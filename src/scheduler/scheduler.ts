/** The one beat: each second, the slots that have come become runs. */
import { schedule } from "node-cron";
import type { Logger } from "pino";
import { clockAndVersion, cronJobs } from "../db/slots.ts";
import type { Deps } from "../orchestrator/deps.ts";
import { triggerSlots } from "../orchestrator/trigger-run.ts";
import { createDueTable } from "./due-table.ts";

export interface Scheduler {
  /** Milliseconds since the last beat that went well. */
  sinceLastBeat(): number;
  stop(): Promise<void>;
}

export function startScheduler(deps: Deps, log: Logger): Scheduler {
  const table = createDueTable(deps.defaultTimezone);
  let version: bigint | undefined;
  let start: Date | undefined;
  let lastBeat = performance.now();
  let beating = Promise.resolve();

  const beat = async () => {
    const clock = await clockAndVersion(deps.db.prisma);
    start ??= clock.now;
    if (clock.version !== version) {
      table.load(await cronJobs(deps.db.prisma), start);
      version = clock.version;
    }
    await triggerSlots(deps, table.due(clock.now));
    table.pass(clock.now);
    lastBeat = performance.now();
  };
  const task = schedule(
    "* * * * * *",
    () => {
      beating = beat().catch((error) =>
        log.error({ err: error }, "a beat failed; the next one makes up for it"),
      );
      return beating;
    },
    { noOverlap: true, logger: cronLogger(log) },
  );
  return {
    sinceLastBeat: () => performance.now() - lastBeat,
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
