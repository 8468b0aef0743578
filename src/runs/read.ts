/** Reads one run, without what the caller may not see. */
import { allows, type Caller, mayTrigger } from "../access/rules/grants.ts";
import { maskUrl, maskValues } from "../access/rules/masks.ts";
import { CarillonError, runNotFound } from "../errors.ts";
import { lastPieces } from "../logs/pieces.ts";
import { type OutputPiece, renderOutput } from "../logs/rules/output.ts";
import type { Database, Tx } from "../postgres/client.ts";
import { createCoalescer } from "../postgres/coalescer.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import type { RunState } from "./rules/states.ts";
import { findRunDetails } from "./run-detail.ts";
import type { TargetJob } from "./target-jobs.ts";
import type { NewRun } from "./trigger.ts";

/** A run with the output of its latest attempt. */
export interface FullRun {
  run: RunDetail;
  log: string;
  /** How many bytes of the output are missing from the log. */
  omittedBytes: number;
}

/**
 * Reads a run. Throws run_not_found.
 * @param logBytes how much of the end of the log to read, at least; the whole log by default
 */
export async function readRun(db: Database, caller: Caller, id: string, logBytes?: number): Promise<FullRun> {
  // Whole logs can be long, so they are read one by one.
  const { run, pieces } = await (logBytes === undefined
    ? readOne(db, { id, logBytes: Number.MAX_SAFE_INTEGER })
    : readInBatch(db, { id, logBytes }));
  if (run === undefined) throw runNotFound(id);
  const { text: log, omittedBytes } = renderOutput(pieces);
  return { run: maskRun(caller, run), log, omittedBytes };
}

/** A run to read. */
interface WantedRun {
  id: string;
  logBytes: number;
}

interface ReadRun {
  run: RunDetail | undefined;
  pieces: readonly OutputPiece[];
}

/** The most runs in one read. */
const RUNS_AT_ONCE = 50;

const readInBatch = createCoalescer(readAll, RUNS_AT_ONCE);

async function readOne(db: Database, wanted: WantedRun): Promise<ReadRun> {
  const [read] = await readAll(db, [wanted]);
  return read?.value ?? { run: undefined, pieces: [] };
}

async function readAll(db: Database, wanted: readonly WantedRun[]): Promise<{ value: ReadRun }[]> {
  const ids = [...new Set(wanted.map(({ id }) => id))];
  const byLength = Map.groupBy(wanted, ({ logBytes }) => logBytes);
  const [runs, ...logs] = await db.sqlRead((tx) =>
    Promise.all([
      findRunDetails(tx, ids),
      ...[...byLength].map(async ([logBytes, some]) => {
        const pieces = await lastPieces(tx, [...new Set(some.map(({ id }) => id))], logBytes);
        return { logBytes, pieces };
      }),
    ]),
  );
  const pieces = new Map(logs.map((log) => [log.logBytes, log.pieces]));
  return wanted.map(({ id, logBytes }) => ({
    value: { run: runs.get(id), pieces: pieces.get(logBytes)?.get(id) ?? [] },
  }));
}

/** The same for a run that has just been created, without reading it. */
export function newFullRun(caller: Caller, run: RunDetail): FullRun {
  return { run: maskRun(caller, run), log: "", omittedBytes: 0 };
}

/** Hides values in env and paths of webhooks from all but admins; without the scope read, hides other runs as well. */
function maskRun(caller: Caller, run: RunDetail): RunDetail {
  if (allows(caller, "admin")) return run;
  const events = run.events.map((event) => ({
    ...event,
    deliveries: event.deliveries.map((delivery) => ({ ...delivery, url: maskUrl(delivery.url) })),
  }));
  const masked = { ...run, events, env: maskValues(run.env as Record<string, string>) };
  return allows(caller, "read") ? masked : maskOtherRuns(caller, masked);
}

/** Hides the triggering run, runs of jobs that the caller may not trigger, and responses of receivers. */
function maskOtherRuns(caller: Caller, run: RunDetail): RunDetail {
  const events = run.events.map((event) => ({
    ...event,
    children: event.children.filter(({ job }) => mayTrigger(caller, job.name)),
    refusals: (event.refusals as { name: string }[]).filter(({ name }) => mayTrigger(caller, name)),
    deliveries: event.deliveries.map((delivery) => ({
      ...delivery,
      history: delivery.history.map((entry) => ({ ...entry, response: null })),
    })),
  }));
  const parent = run.parentEvent?.run.job.name;
  const seesParent = parent === undefined || mayTrigger(caller, parent);
  // `job[NAME]` names the job of the run that triggered this one.
  const triggeredBy = seesParent ? run.triggeredBy : run.triggeredBy.replace(/\[.*$/s, "");
  return { ...run, events, triggeredBy, parentEvent: null };
}

/** Throws run_not_found. */
export async function readRunState(db: Database, id: string): Promise<RunState> {
  const state = await runState(db.prisma, id);
  if (state === undefined) throw runNotFound(id);
  return state;
}

/**
 * Throws run_not_found, and forbidden unless the caller may read all runs or trigger the job of this run. The latter
 * lets a caller wait for the result of its own trigger.
 */
export async function requireRun(db: Database, caller: Caller, id: string): Promise<void> {
  if (allows(caller, "read")) return;
  const job = await jobOfRun(db.prisma, id);
  if (job === undefined) throw runNotFound(id);
  if (mayTrigger(caller, job)) return;
  // The caller may not know the job, so the message does not name it.
  throw new CarillonError(
    "forbidden",
    `The token ${caller.name} lacks the scope read, and trigger for the job of this run.`,
  );
}

const CHILDREN = {
  select: { id: true, state: true, job: { select: { name: true } } },
  orderBy: { id: "asc" },
} as const;

/** The rows that a run in a list needs. */
export const SUMMARY = {
  job: { select: { name: true, schedule: { select: { name: true } } } },
  revision: { select: { retryLimit: true, number: true } },
  events: {
    select: { event: true, attempt: true, refusals: true, children: CHILDREN },
    orderBy: { id: "asc" },
  },
  parentEvent: {
    select: {
      event: true,
      attempt: true,
      ofAttempt: { select: { status: true } },
      run: { select: { id: true, triggeredAt: true, triggeredBy: true, job: { select: { name: true } } } },
    },
  },
  // Most attempts end with an exit code and have no reason.
  attempts: {
    select: { number: true, reason: true },
    where: { reason: { not: null } },
    orderBy: { id: "asc" },
  },
} as const;
export type RunSummary = Prisma.RunGetPayload<{ include: typeof SUMMARY }>;

const DETAIL = {
  ...SUMMARY,
  events: {
    select: {
      ...SUMMARY.events.select,
      deliveries: { include: { history: { orderBy: { number: "asc" } } }, orderBy: { id: "asc" } },
    },
    orderBy: { id: "asc" },
  },
  parentEvent: { select: { ...SUMMARY.parentEvent.select, body: true } },
  attempts: { orderBy: { id: "asc" } },
} as const;
export type RunDetail = Prisma.RunGetPayload<{ include: typeof DETAIL }>;

/** A run that has just been created, as `findRunDetails` would read it. */
export function newRunDetail(run: NewRun, job: TargetJob): RunDetail {
  const { id, jobId, revisionId, state, trigger, triggeredBy, triggeredAt, messageId } = run;
  return {
    ...{ id, jobId, revisionId, state, trigger, triggeredBy, triggeredAt, messageId },
    scheduledFor: run.scheduledFor ?? null,
    env: { ...run.env },
    fireEvents: run.fireEvents ?? true,
    parentEventId: run.parentEventId ?? null,
    depth: run.depth ?? 1,
    rootId: run.rootId ?? null,
    rerunOfId: run.rerunOfId ?? null,
    attempt: 0,
    status: null,
    retriesExhausted: false,
    startedAt: null,
    finishedAt: state === "queued" ? null : triggeredAt,
    nextAttemptAt: run.nextAttemptAt ?? null,
    cancelRequestedAt: null,
    reason: run.reason ?? null,
    job: { name: job.name, schedule: { name: job.schedule } },
    revision: { retryLimit: job.retryLimit, number: job.revision },
    events: [],
    parentEvent: null,
    attempts: [],
  };
}

/** The name of a run's job; undefined when there is no such run. */
async function jobOfRun(tx: Tx, id: string): Promise<string | undefined> {
  const run = await tx.run.findUnique({ where: { id }, select: { job: { select: { name: true } } } });
  return run?.job.name;
}

/** The state of a run; undefined when there is none. */
async function runState(tx: Tx, id: string): Promise<RunState | undefined> {
  return (await tx.run.findUnique({ where: { id }, select: { state: true } }))?.state;
}
