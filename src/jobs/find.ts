/** Reads jobs and their revisions: by name, by schedule, page by page; and finds the ids of names. */
import { CarillonError } from "../errors.ts";
import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import {
  type ActionOptions,
  actionOptions,
  type Command,
  DEFAULT_CATCHUP_WINDOW_MS,
  DEFAULT_LOG_LIMIT_BYTES,
  type EventAction,
  type JobDefinition,
} from "./rules/definition.ts";

/** Throws job_not_found for a name that no job has ever had. */
export async function requireKnownJobs(tx: Tx, names: readonly string[] = []): Promise<void> {
  const known = new Set((await jobsNamed(tx, names)).map(({ name }) => name));
  const unknown = names.find((name) => !known.has(name));
  if (unknown === undefined) return;
  throw new CarillonError("job_not_found", `No job has ever had the name ${unknown}.`);
}

/** A live job with its current revision, its own actions and those of its schedule. */
export interface StoredJob {
  id: string;
  scheduleId: string;
  revisionId: string;
  revision: number;
  definition: JobDefinition & { schedule: string };
  scheduleTimezone: string | null;
  createdAt: Date;
  /** When the current revision was written. */
  updatedAt: Date;
  paused: Pause | null;
}

/** An operator has paused a job, so it has no cron slots. */
export interface Pause {
  at: Date;
  by: string | null;
  reason: string | null;
}

/** The query options for event actions, in their order and with the jobs that they trigger. */
export const ACTION_ROWS = {
  include: { targetJob: { select: { name: true } } },
  orderBy: { position: "asc" },
} as const;
const JOB_ROWS = { schedule: true, currentRevision: { include: { actions: ACTION_ROWS } } } as const;

type JobRow = Prisma.JobGetPayload<{ include: typeof JOB_ROWS }>;
type ActionRow = Prisma.EventActionGetPayload<{ include: (typeof ACTION_ROWS)["include"] }>;
type RevisionRow = Prisma.JobRevisionGetPayload<object>;

/** The live jobs that match `where`, in the order of their names. */
export async function findJobs(tx: Tx, where: Prisma.JobWhereInput = {}, page?: Page): Promise<StoredJob[]> {
  const rows = await tx.job.findMany({
    where: { ...where, deletedAt: null, ...(page?.after === undefined ? {} : { name: { gt: page.after } }) },
    include: JOB_ROWS,
    orderBy: { name: "asc" },
    ...(page === undefined ? {} : { take: page.limit }),
  });
  return rows.map(storedJob);
}

/** A page of a list in the order of names. */
export interface Page {
  /** The last name of the page before. */
  after?: string | undefined;
  limit: number;
}

/** The live job with this name. */
export async function findJob(tx: Tx, name: string): Promise<StoredJob | undefined> {
  const [job] = await findJobs(tx, { name });
  return job;
}

/** The definition in a revision row, without name, schedule and actions. */
function definitionOf(row: RevisionRow): Omit<JobDefinition, "name" | "schedule" | "actions"> {
  const command: Command = row.shell
    ? { kind: "shell", text: row.command[0] ?? "" }
    : { kind: "argv", argv: row.command };
  return {
    command,
    cron: row.cron,
    timezone: row.timezone,
    env: row.env as Record<string, string>,
    secretEnv: row.secretEnv as Record<string, string>,
    params: row.params,
    workingDirectory: row.workingDirectory,
    user: row.user,
    retry: {
      limit: row.retryLimit,
      delayMs: row.retryDelayMs,
      backoff: row.retryBackoff,
      maxDelayMs: row.retryMaxDelayMs,
      jitter: row.retryJitter,
      exitCodes: row.retryExitCodes,
    },
    timeoutMs: row.timeoutMs,
    concurrency: { limit: row.concurrencyLimit, policy: row.concurrencyPolicy },
    missedRuns: {
      policy: row.missedRuns,
      windowMs: numberOrNull(row.catchupWindowMs) ?? DEFAULT_CATCHUP_WINDOW_MS,
    },
    jitterMs: row.jitterMs,
    pool: row.pool,
    logLimitBytes: row.logLimitBytes ?? DEFAULT_LOG_LIMIT_BYTES,
    logRetentionMs: numberOrNull(row.logRetentionMs),
    allowCycle: row.allowCycle,
    enabled: row.enabled,
    description: row.description,
    labels: row.labels as Record<string, string>,
  };
}

function storedJob(row: JobRow): StoredJob {
  const revision = row.currentRevision;
  if (revision === null) throw new Error(`job ${row.name} has no revision`);
  return {
    id: row.id,
    scheduleId: row.scheduleId,
    revisionId: revision.id,
    revision: revision.number,
    definition: {
      name: row.name,
      schedule: row.schedule.name,
      ...definitionOf(revision),
      actions: revision.actions.map(eventAction),
    },
    scheduleTimezone: row.schedule.tzLocation,
    createdAt: row.createdAt,
    updatedAt: revision.createdAt,
    paused: row.pausedAt && { at: row.pausedAt, by: row.pausedBy, reason: row.pauseReason },
  };
}

/** An action in the form of the document. */
export function eventAction(row: ActionRow): EventAction {
  return {
    event: row.event,
    action: row.action,
    target: row.url ?? row.targetJob?.name ?? "",
    ...actionOptions(row.options as ActionOptions),
  };
}

/** Converts a bigint column. */
export function numberOrNull(value: bigint | null): number | null {
  return value === null ? null : Number(value);
}

/** The live job with this name. Throws job_not_found. */
export async function requireJob(tx: Tx, name: string): Promise<StoredJob> {
  const job = await findJob(tx, name);
  if (job === undefined) throw new CarillonError("job_not_found", `There is no job ${name}.`);
  return job;
}

/** The ids of the live jobs with these names. */
export async function liveJobIds(tx: Tx, names: readonly string[]): Promise<Map<string, string>> {
  const rows = await tx.job.findMany({
    where: { name: { in: [...names] }, deletedAt: null },
    select: { id: true, name: true },
  });
  return new Map(rows.map((row) => [row.name, row.id]));
}

/** The jobs with these names, deleted ones included. */
export async function jobsNamed(tx: Tx, names: readonly string[]): Promise<{ id: string; name: string }[]> {
  return tx.job.findMany({ where: { name: { in: [...names] } }, select: { id: true, name: true } });
}

/** One revision of a job. */
export interface StoredRevision {
  number: number;
  createdAt: Date;
  /** Without a schedule: a revision does not record the schedule of its job. */
  definition: JobDefinition;
}

/** The revisions of a job with numbers below `before`, newest first. */
export async function findRevisions(
  tx: Tx,
  job: { id: string; name: string },
  { before, limit }: { before?: number | undefined; limit: number },
): Promise<StoredRevision[]> {
  const rows = await tx.jobRevision.findMany({
    where: { jobId: job.id, ...(before !== undefined && { number: { lt: before } }) },
    include: { actions: ACTION_ROWS },
    orderBy: { number: "desc" },
    take: limit,
  });
  return rows.map((row) => ({
    number: row.number,
    createdAt: row.createdAt,
    definition: {
      name: job.name,
      schedule: null,
      ...definitionOf(row),
      actions: row.actions.map(eventAction),
    },
  }));
}
