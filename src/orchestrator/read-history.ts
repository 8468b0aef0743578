/** Reads runs and their logs, and waits for runs to end. */
import { CarillonError } from "../core/errors.ts";
import { isFinal, type RunState } from "../core/run.ts";
import { textFromBytes } from "../core/text.ts";
import * as history from "../db/history.ts";
import { jobsNamed, listRuns, type RunFilter, type RunPage } from "../db/run-list.ts";
import type { Deps } from "./deps.ts";

/** A waiting caller looks at the truth this often, whatever the signals say. */
const POLL_MS = 1_000;

/** A run with the output of its latest attempt. */
export interface FullRun {
  run: history.RunDetail;
  log: string;
  omittedBytes: bigint;
}

/** Throws run_not_found. */
export async function readRun(deps: Deps, id: string): Promise<FullRun> {
  const run = await history.findRun(deps.db.prisma, id);
  if (run === undefined) throw runNotFound(id);
  const latest = run.attempts.at(-1);
  const output = latest && (await history.readOutput(deps.db.prisma, latest.id));
  return {
    run,
    log: textFromBytes(output?.bytes ?? new Uint8Array()),
    omittedBytes: output?.omittedBytes ?? 0n,
  };
}

/** Runs newest first. Throws job_not_found for a job that never was. */
export async function readRuns(deps: Deps, filter: RunFilter, page: RunPage): Promise<history.RunSummary[]> {
  const runs = await listRuns(deps.db.prisma, filter, page);
  if (runs.length === 0) await requireJobs(deps, filter.jobs);
  return runs;
}

/** Throws job_not_found for names that no job ever had. */
export async function requireJobs(deps: Deps, names: readonly string[] = []): Promise<void> {
  const known = new Set((await jobsNamed(deps.db.prisma, names)).map(({ name }) => name));
  const unknown = names.find((name) => !known.has(name));
  if (unknown === undefined) return;
  throw new CarillonError("job_not_found", `there is no job ${unknown} and never was one`);
}

/** Waits until the run has ended or the service stops, at most `patienceMs`. Throws run_not_found. */
export async function waitForRun(deps: Deps, id: string, patienceMs: number): Promise<void> {
  const deadline = performance.now() + patienceMs;
  let wake = () => {};
  const unsubscribe = deps.signals.subscribe((signal) => {
    if (signal.type === "missed" || (signal.type === "run_changed" && signal.run === id)) wake();
  });
  try {
    for (;;) {
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const state = await readRunState(deps, id);
      const left = deadline - performance.now();
      if (isFinal(state) || left <= 0 || deps.closing.aborted) return;
      await Promise.race([woken, timeout(Math.min(left, POLL_MS))]);
    }
  } finally {
    unsubscribe();
  }
}

/** Throws run_not_found. */
export async function readRunState(deps: Deps, id: string): Promise<RunState> {
  const state = await history.runState(deps.db.prisma, id);
  if (state === undefined) throw runNotFound(id);
  return state;
}

/** The output of one attempt as text: the latest, or the one of this number. Throws run_not_found, attempt_not_found. */
export async function readLog(deps: Deps, id: string, attempt: number | "all" | undefined): Promise<string> {
  const run = await history.findRun(deps.db.prisma, id);
  if (run === undefined) throw runNotFound(id);
  const wanted =
    attempt === "all"
      ? run.attempts
      : run.attempts.filter((one) => attempt === undefined || one.number === attempt).slice(-1);
  if (wanted.length === 0 && typeof attempt === "number") {
    throw new CarillonError("attempt_not_found", `run ${id} has no attempt ${attempt}; the first is 0`);
  }
  const outputs = await Promise.all(wanted.map((one) => history.readOutput(deps.db.prisma, one.id)));
  return outputs.map((output) => textFromBytes(output.bytes)).join("");
}

export function runNotFound(id: string): CarillonError {
  return new CarillonError("run_not_found", `there is no run ${id}`);
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
