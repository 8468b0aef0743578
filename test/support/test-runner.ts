/** Gives a test its own runner, and runs commands through it. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pino from "pino";
import type { PidNamespace } from "../../src/worker/pid-namespace.ts";
import type { CommandEnd, CommandSpec, RunningCommand } from "../../src/worker/remote-command.ts";
import { createRunner, type Runner } from "../../src/worker/runner-supervisor.ts";
import type { OwnerOrder } from "./runner-owner.ts";

export const PATH = process.env["PATH"] ?? "/usr/bin:/bin";

const MARKER = ["CARILLON_RUN_ID", "CARILLON_ATTEMPT"];

/** A command with its own `env` has no marker. */
export type CommandOptions = Partial<Omit<CommandSpec, "command">>;

export interface TestCommand extends Omit<RunningCommand, "finished"> {
  finished: Promise<{ end: CommandEnd; output: Buffer }>;
  /** The output so far. */
  output(): string;
}

export interface TestRunner extends AsyncDisposable {
  runner: Runner;
  /** The folder of its journals. */
  journals: string;
  sh(text: string, options?: CommandOptions): TestCommand;
  exec(argv: string[], options?: CommandOptions): TestCommand;
}

export async function startTestRunner(
  options: { journals?: string; pidNamespace?: PidNamespace; confirmMs?: number } = {},
): Promise<TestRunner> {
  const folder = await mkdtemp(join(tmpdir(), "carillon-runner-"));
  const { journals = folder, pidNamespace = "off", ...others } = options;
  const log = pino({ level: process.env["TEST_LOG"] ?? "silent" });
  const runner = await createRunner({ folder: journals, path: PATH, pidNamespace, log, ...others });
  const start = (command: CommandSpec["command"], given: CommandOptions): TestCommand => {
    const chunks: Buffer[] = [];
    const marked = { env: { PATH, CARILLON_RUN_ID: randomUUID(), CARILLON_ATTEMPT: "0" }, marker: MARKER };
    const spec = { command, cwd: "/", ...(given.env ? { env: given.env } : marked), ...given };
    const running = runner.start(spec, (chunk) => void chunks.push(chunk));
    const finished = running.finished.then((end) => ({ end, output: Buffer.concat(chunks) }));
    return { ...running, finished, output: () => Buffer.concat(chunks).toString() };
  };
  return {
    runner,
    journals,
    sh: (text, given = {}) => start({ kind: "shell", text }, given),
    exec: (argv, given = {}) => start({ kind: "argv", argv }, given),
    async [Symbol.asyncDispose]() {
      await runner.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** Starts a worker in its own process, which a test may kill, with a runner and one command. */
export async function startOwner(given: Pick<OwnerOrder, "folder" | "text" | "cwd"> & Partial<OwnerOrder>) {
  const file = fileURLToPath(new URL("./runner-owner.ts", import.meta.url));
  const order: OwnerOrder = { pidNamespace: "off", path: PATH, ...given };
  const owner = spawn(process.execPath, [file, JSON.stringify(order)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [pid] = await once(owner.stdout, "data");
  return {
    /** The pid of its runner. */
    runner: Number(pid),
    /** As `kill -9` does. */
    async kill() {
      owner.kill("SIGKILL");
      await once(owner, "exit");
    },
  };
}

/** Whether a process is alive; a zombie is not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
