/** Reads runs and their logs, and waits for runs to end. */

import { allows, type Caller, mayTrigger } from "../access/rules/grants.ts";
import { maskUrl, maskValues } from "../access/rules/masks.ts";
import type { CallerDeps, Deps } from "../deps.ts";
import { CarillonError } from "../errors.ts";
import { storedPieces } from "../logs/pieces.ts";
import { renderOutput } from "../logs/rules/output.ts";
import { findRun, type RunDetail, type RunSummary, runState } from "./history.ts";
import { isFinal, type RunState } from "./rules/states.ts";
import { jobsNamed, listRuns, type RunFilter, type RunPage } from "./run-list.ts";

/** A waiting caller looks at the truth this often, whatever the signals say. */
const POLL_MS = 1_000;

/** A run with the output of its latest attempt. */
export interface FullRun {
  run: RunDetail;
  log: string;
  /** Bytes that were cut out of it. */
  omittedBytes: number;
}

/** Throws run_not_found. */
export async function readRun(deps: CallerDeps, id: string): Promise<FullRun> {
  const run = await findRun(deps.db.prisma, id);
  if (run === undefined) throw runNotFound(id);
  const latest = run.attempts.at(-1);
  const { text: log, omittedBytes } = renderOutput(
    latest ? await storedPieces(deps.db.prisma, latest.id) : [],
  );
  return { run: shown(deps, run), log, omittedBytes };
}

/** Values in env and the paths of webhooks are for admins, and what is told of other runs and of receivers for readers. */
function shown({ caller }: CallerDeps, run: RunDetail): RunDetail {
  if (allows(caller, "admin")) return run;
  const events = run.events.map((event) => ({
    ...event,
    deliveries: event.deliveries.map((delivery) => ({ ...delivery, url: maskUrl(delivery.url) })),
  }));
  const masked = { ...run, events, env: maskValues(run.env as Record<string, string>) };
  return allows(caller, "read") ? masked : withoutOthers(caller, masked);
}

/** A run without the one that triggered it, what it has triggered of jobs that the caller may not trigger, and receivers' answers. */
function withoutOthers(caller: Caller, run: RunDetail): RunDetail {
  const events = run.events.map((event) => ({
    ...event,
    children: event.children.filter(({ job }) => mayTrigger(caller, job.name)),
    refusals: (event.refusals as { name: string }[]).filter(({ name }) => mayTrigger(caller, name)),
    deliveries: event.deliveries.map((delivery) => ({
      ...delivery,
      history: delivery.history.map((made) => ({ ...made, response: null })),
    })),
  }));
  const parent = run.parentEvent?.run.job.name;
  const isTheirs = parent === undefined || mayTrigger(caller, parent);
  // `job[NAME]` names the job of the run that triggered this one.
  const triggeredBy = isTheirs ? run.triggeredBy : run.triggeredBy.replace(/\[.*$/s, "");
  return { ...run, events, triggeredBy, parentEvent: null };
}

/** Runs newest first. Throws job_not_found for a job that never was. */
export async function readRuns(deps: Deps, filter: RunFilter, page: RunPage): Promise<RunSummary[]> {
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
  const state = await runState(deps.db.prisma, id);
  if (state === undefined) throw runNotFound(id);
  return state;
}

export function runNotFound(id: string): CarillonError {
  return new CarillonError("run_not_found", `there is no run ${id}`);
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
