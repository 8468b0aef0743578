/** The worker's runner: started, replaced when it dies, and told what to run. */

import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { type CommandSpec, type OutputConsumer, type RunningCommand, startCommand } from "./command.ts";
import { killLeftovers } from "./leftovers.ts";
import { choosePrefix, type PidNamespace } from "./pid-namespace.ts";
import { NO_JOURNAL, openJournal } from "./runner/journal.ts";
import { readProcess } from "./runner/processes.ts";
import { type LinkOptions, openRunnerLink, type RunnerLink } from "./runner-link.ts";

export interface RunnerOptions {
  /** Holds the journals; made when it is not there. */
  folder: string;
  /** Where the runner looks for the programs it needs itself. */
  path: string | undefined;
  pidNamespace: PidNamespace;
  /** A runner that has commands and is silent for so long is replaced; 5,000 ms unless told. */
  confirmMs?: number;
  log: Logger;
}

export interface Runner {
  /** Starts a command; one that comes while the runner is being replaced waits for the next, or is lost when it is closed. */
  start(spec: CommandSpec, consume: OutputConsumer): RunningCommand;
  /** The runner of this moment, or of the next one. */
  pid(): Promise<number>;
  /** Kills all that still runs, and ends the runner. */
  close(): Promise<void>;
}

/** Wait before a runner that could not be started is tried again. */
const AGAIN_MS = 1_000;

/**
 * Kills what former runners have left, and starts one.
 * Rejects with an OperatorError when `pidNamespace` is on and the system refuses it, and with what the runner
 * said when it cannot be started.
 */
export async function createRunner(given: RunnerOptions): Promise<Runner> {
  const { folder, path, pidNamespace, log } = given;
  const cleanUp = async () => {
    const commands = await killLeftovers(folder);
    if (commands > 0) log.warn({ commands }, "killed what is left of the commands of a runner that died");
  };
  await cleanUp();
  const options: Omit<LinkOptions, "prefix"> = {
    cacheFolder: join(folder, "cache"),
    path,
    ...(given.confirmMs !== undefined && { confirmMs: given.confirmMs }),
    onLog: (line) => log.warn({ runner: line }, "the runner says"),
  };
  const prefix = await choosePrefix(pidNamespace, options, log);
  const open = () =>
    prefix.length > 0
      ? openInNamespace({ ...options, prefix }, folder)
      : openRunnerLink({ ...options, prefix, journalFolder: folder });

  const closing = new AbortController();
  let link = Promise.resolve(await open());

  /** The next runner; when we are closing meanwhile, the dead one, for which everything is lost. */
  async function reopen(dead: RunnerLink): Promise<RunnerLink> {
    while (!closing.signal.aborted) {
      try {
        return await open();
      } catch (error) {
        log.error({ err: error }, "a runner could not be started");
        await delay(AGAIN_MS, undefined, closing).catch(() => undefined);
      }
    }
    return dead;
  }

  async function keep(): Promise<void> {
    while (!closing.signal.aborted) {
      const dead = await link;
      const lost = await dead.died;
      if (!closing.signal.aborted) {
        log.error({ commands: lost.length }, "the runner died; its commands are lost");
        // Commands that are started from now on wait for the next one.
        const next = Promise.withResolvers<RunnerLink>();
        link = next.promise;
        await cleanUp().catch((error: unknown) =>
          log.error({ err: error }, "what is left of the commands could not be killed"),
        );
        next.resolve(reopen(dead));
      }
      for (const command of lost) command.onLost();
    }
  }
  const kept = keep();

  return {
    start: (spec, consume) => startCommand(link, spec, consume),
    pid: async () => (await link).pid,
    async close() {
      closing.abort();
      await (await link).close();
      await kept;
    },
  };
}

/**
 * The death of a namespace leaves nothing to be looked for. But a runner in it that stands still when its worker dies
 * does not know its own pid: so it is we who write down what must be killed then.
 */
async function openInNamespace(options: LinkOptions, folder: string): Promise<RunnerLink> {
  const link = await openRunnerLink(options);
  try {
    const worker = readProcess(process.pid);
    const journal = worker ? openJournal(folder, worker, link.pid) : NO_JOURNAL;
    void link.died.then(() => journal.remove());
    return link;
  } catch (error) {
    await link.close();
    throw error;
  }
}
