/** Keeps one runner process alive for the worker, replaces it when it dies, and starts commands through it. */

import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { choosePrefix, type PidNamespace } from "./pid-namespace.ts";
import {
  type CommandSpec,
  type OutputConsumer,
  type RunningCommand,
  startRemoteCommand,
} from "./remote-command.ts";
import { NO_JOURNAL, openJournal } from "./runner/journal.ts";
import { readProcess } from "./runner/processes.ts";
import { killLeftovers } from "./runner-leftovers.ts";
import { type RunnerProcess, type RunnerProcessOptions, startRunnerProcess } from "./runner-process.ts";

export interface RunnerOptions {
  /** Folder of the journals; created when it does not exist. */
  folder: string;
  /** PATH of the runner itself. */
  path: string | undefined;
  pidNamespace: PidNamespace;
  /** A runner that has commands and does not answer for this long is replaced; default 5,000 ms. */
  confirmMs?: number;
  log: Logger;
}

export interface Runner {
  /** Starts a command. While the runner is being replaced the command waits for the next one; after `close` it is lost. */
  start(spec: CommandSpec, consume: OutputConsumer): RunningCommand;
  /** The pid of the current runner, or of the next one while it is being replaced. */
  pid(): Promise<number>;
  /** Kills all running commands and ends the runner. */
  close(): Promise<void>;
}

/** Wait (ms) before another try to start a runner. */
const RETRY_MS = 1_000;

/**
 * Kills what former runners left behind, and starts a runner.
 * @throws OperatorError when `pidNamespace` is `on` and the system refuses it; an error with the runner's stderr when
 * it cannot be started
 */
export async function createRunner(given: RunnerOptions): Promise<Runner> {
  const { folder, path, pidNamespace, log } = given;
  const cleanUp = async () => {
    const commands = await killLeftovers(folder);
    if (commands > 0) log.warn({ commands }, "killed the remaining processes of a runner that died");
  };
  await cleanUp();
  const options: Omit<RunnerProcessOptions, "prefix"> = {
    cacheFolder: join(folder, "cache"),
    path,
    ...(given.confirmMs !== undefined && { confirmMs: given.confirmMs }),
    onLog: (line) => log.warn({ runner: line }, "message from the runner"),
  };
  const prefix = await choosePrefix(pidNamespace, options, log);
  const open = () =>
    prefix.length > 0
      ? openInNamespace({ ...options, prefix }, folder)
      : startRunnerProcess({ ...options, prefix, journalFolder: folder });

  const closing = new AbortController();
  let current = Promise.resolve(await openFirst(open));

  /** Starts the next runner. If we are closing meanwhile, returns the dead one: every command on it is lost. */
  async function reopen(dead: RunnerProcess): Promise<RunnerProcess> {
    while (!closing.signal.aborted) {
      try {
        return await open();
      } catch (error) {
        log.error({ err: error }, "the runner could not be started; it is tried again");
        await delay(RETRY_MS, undefined, closing).catch(() => undefined);
      }
    }
    return dead;
  }

  async function supervise(): Promise<void> {
    while (!closing.signal.aborted) {
      const dead = await current;
      const lost = await dead.died;
      if (!closing.signal.aborted) {
        log.error({ commands: lost.length }, "the runner died; its commands are lost");
        // New commands wait for the next runner.
        const next = Promise.withResolvers<RunnerProcess>();
        current = next.promise;
        await cleanUp().catch((error: unknown) =>
          log.error({ err: error }, "the remaining processes of its commands could not be killed"),
        );
        next.resolve(reopen(dead));
      }
      for (const command of lost) command.onLost();
    }
  }
  const supervision = supervise();

  return {
    start: (spec, consume) => startRemoteCommand(current, spec, consume),
    pid: async () => (await current).pid,
    async close() {
      closing.abort();
      await (await current).close();
      await supervision;
    },
  };
}

/** Opens a runner without the TypeScript compiler, which would take 20 MB: one that had to load it is replaced at once. */
async function openFirst(open: () => Promise<RunnerProcess>): Promise<RunnerProcess> {
  const runner = await open();
  if (!runner.hasCompiler) return runner;
  await runner.close();
  return open();
}

/**
 * When a PID namespace ends, the kernel kills everything in it, so the runner needs no journal of its commands. But a
 * runner that is stopped when its worker dies stays, and it does not know its pid outside: so the worker records it.
 */
async function openInNamespace(options: RunnerProcessOptions, folder: string): Promise<RunnerProcess> {
  const runner = await startRunnerProcess(options);
  try {
    const worker = readProcess(process.pid);
    const journal = worker ? openJournal(folder, worker, runner.pid) : NO_JOURNAL;
    void runner.died.then(() => journal.remove());
    return runner;
  } catch (error) {
    await runner.close();
    throw error;
  }
}
