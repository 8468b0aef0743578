/** A process that starts commands on request over IPC, and measures how many it starts and how long its loop blocks. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setImmediate as freeLoop } from "node:timers/promises";
import type { Runner } from "../src/worker/runner-supervisor.ts";
import { answerRequests } from "./measuring-host.ts";

/** runner: the service uses its runner. service: the service spawns by itself. bare: a Node process without the service. */
export type HostKind = "runner" | "service" | "bare";

/** A request to a host. */
export interface BatchOrder {
  inFlight: number;
  /** For how long the host starts commands, in ms. */
  forMs: number;
}

/** The response of a host. */
export interface Batch {
  perSecond: number;
  /** For each command, the time from its start until the event loop is free again, in ms. */
  blockedMs: number[];
}

export const COMMAND = ["/bin/sh", "-c", "echo hello"] as const;
const OUTPUT_BYTES = 6;
const ENV = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/", LANG: "C.UTF-8" };
const CWD = "/";

/** Starts one command and waits for its end. Throws if the result is wrong. */
type RunOne = () => Promise<void>;

if (process.send !== undefined) await serve(process.argv[2] as HostKind, process.argv[3] ?? "");

async function serve(kind: HostKind, folder: string): Promise<void> {
  if (kind !== "bare") await import("../src/service.ts");
  const runner = kind === "runner" ? await openRunner(folder) : undefined;
  const runOne = runner === undefined ? runPlain : () => runInRunner(runner);
  await answerRequests<BatchOrder>(
    (order) => runBatch(runOne, order),
    async () => runner?.close(),
  );
}

async function openRunner(folder: string): Promise<Runner> {
  const { default: pino } = await import("pino");
  const { createRunner } = await import("../src/worker/runner-supervisor.ts");
  const log = pino({ level: "error" }, process.stderr);
  const open = () => createRunner({ folder, path: ENV.PATH, pidNamespace: "off", log });
  // The first runner compiles its code and is larger for it. The benchmark uses a later one.
  await (await open()).close();
  return open();
}

async function runBatch(runOne: RunOne, { inFlight, forMs }: BatchOrder): Promise<Batch> {
  const blockedMs: number[] = [];
  const from = performance.now();
  const startUntilOver = async () => {
    while (performance.now() - from < forMs) {
      const startedAt = performance.now();
      const run = runOne();
      await Promise.all([run, freeLoop().then(() => blockedMs.push(performance.now() - startedAt))]);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, startUntilOver));
  return { perSecond: (1_000 * blockedMs.length) / (performance.now() - from), blockedMs };
}

async function runInRunner(runner: Runner): Promise<void> {
  let bytes = 0;
  // As the worker starts commands: with a marker that finds leftover processes, and with a lease.
  const marker = { CARILLON_RUN_ID: crypto.randomUUID(), CARILLON_ATTEMPT: "1" };
  const running = runner.start(
    {
      command: { kind: "argv", argv: COMMAND },
      env: { ...ENV, ...marker },
      cwd: CWD,
      marker: Object.keys(marker),
      leaseMs: 60_000,
    },
    (chunk) => {
      bytes += chunk.length;
    },
  );
  const end = await running.finished;
  check(end.kind === "exited" ? end.code : end.kind, bytes);
}

async function runPlain(): Promise<void> {
  const [file, ...args] = COMMAND;
  let bytes = 0;
  const child = spawn(file, args, { env: ENV, cwd: CWD, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  child.stderr.resume();
  const [code, signal] = await once(child, "close");
  check(code ?? signal, bytes);
}

function check(end: unknown, bytes: number): void {
  if (end !== 0 || bytes !== OUTPUT_BYTES) throw new Error(`the command ended with ${end}, ${bytes} bytes`);
}
