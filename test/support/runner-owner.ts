/** A worker in its own process, which a test may kill: starts a runner and one command, and prints the pid of the runner. */
import pino from "pino";
import { createRunner, type RunnerOptions } from "../../src/worker/runner-supervisor.ts";

export interface OwnerOrder extends Pick<RunnerOptions, "folder" | "path" | "pidNamespace"> {
  text: string;
  cwd: string;
}

const { text, cwd, ...options } = JSON.parse(process.argv[2] ?? "") as OwnerOrder;
const runner = await createRunner({ ...options, log: pino({ level: "silent" }) });
const marked = { CARILLON_RUN_ID: `of-${process.pid}`, CARILLON_ATTEMPT: "0" };
const env = { PATH: options.path ?? "", ...marked };
runner.start(
  { command: { kind: "shell", text }, env, cwd, marker: Object.keys(marked) },
  (chunk) => void process.stderr.write(chunk),
);
process.stdout.write(`${await runner.pid()}\n`);
