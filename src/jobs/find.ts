/** Reads jobs and their revisions: by name, by schedule, page by page; and finds the ids of names. */
import { CarillonError } from "../errors.ts";
import type { SqlTx, Tx } from "../postgres/client.ts";
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
  /** When the job was read, by the database's clock; in a transaction, when that began. */
  readAt: Date;
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

type ActionRow = Pick<Prisma.EventActionGetPayload<object>, "event" | "action" | "url" | "options"> & {
  targetJob: { name: string } | null;
};
type RevisionRow = Omit<Prisma.JobRevisionGetPayload<object>, "id" | "jobId" | "number" | "createdAt">;
/** The parts of a job that may change without a new revision. */
export type JobHead = Omit<StoredJob, "definition" | "paused" | "revision" | "updatedAt"> & {
  name: string;
  schedule: string;
  pausedAt: Date | null;
  pausedBy: string | null;
  pauseReason: string | null;
};
type JobRow = JobHead & RevisionRow & Pick<StoredJob, "revision" | "updatedAt"> & { actions: ActionRow[] };

/** What selects each field of a revision's definition; the compiler misses none. A list may be null: it is empty then. */
const REVISION_FIELDS: Record<keyof RevisionRow, string> = {
  shell: "r.shell",
  command: "coalesce(r.command, '{}')",
  cron: "coalesce(r.cron, '{}')",
  timezone: "r.timezone",
  env: "r.env",
  secretEnv: "r.secret_env",
  params: "coalesce(r.params, '{}')",
  user: 'r."user"',
  workingDirectory: "r.working_directory",
  retryLimit: "r.retry_limit",
  retryDelayMs: "r.retry_delay_ms",
  retryBackoff: "r.retry_backoff",
  retryMaxDelayMs: "r.retry_max_delay_ms",
  retryJitter: "r.retry_jitter",
  retryExitCodes: "coalesce(r.retry_exit_codes, '{}')",
  timeoutMs: "r.timeout_ms",
  concurrencyLimit: "r.concurrency_limit",
  concurrencyPolicy: "r.concurrency_policy",
  missedRuns: "r.missed_runs",
  catchupWindowMs: "r.catchup_window_ms",
  jitterMs: "r.jitter_ms",
  pool: "r.pool",
  logLimitBytes: "r.log_limit_bytes",
  logRetentionMs: "r.log_retention_ms",
  allowCycle: "r.allow_cycle",
  enabled: "r.enabled",
  description: "r.description",
  labels: "r.labels",
};

const HEAD_COLUMNS = `j.id, j.name, j.schedule_id AS "scheduleId", s.name AS schedule,
    s.tz_location AS "scheduleTimezone", j.created_at AS "createdAt", j.paused_at AS "pausedAt",
    j.paused_by AS "pausedBy", j.pause_reason AS "pauseReason", j.current_revision_id AS "revisionId",
    now() AS "readAt"`;
// One statement, so that a job and its parts come from one moment.
const LIVE_JOBS = `
  SELECT ${HEAD_COLUMNS}, r.number AS revision, r.created_at AS "updatedAt",
    ${Object.entries(REVISION_FIELDS)
      .map(([field, expression]) => `${expression} AS "${field}"`)
      .join(", ")},
    (
      SELECT coalesce(json_agg(json_build_object('event', a.event, 'action', a.action, 'url', a.url,
        'options', a.options, 'targetJob', CASE WHEN t.id IS NOT NULL THEN json_build_object('name', t.name) END)
        ORDER BY a.position), '[]')
      FROM event_action a LEFT JOIN job t ON t.id = a.target_job_id WHERE a.job_revision_id = r.id
    ) AS actions
  FROM job j JOIN schedule s ON s.id = j.schedule_id JOIN job_revision r ON r.id = j.current_revision_id
  WHERE j.deleted_at IS NULL AND `;
const HEADS_BY_NAME = `
  SELECT ${HEAD_COLUMNS} FROM job j JOIN schedule s ON s.id = j.schedule_id
  WHERE j.deleted_at IS NULL AND j.current_revision_id IS NOT NULL AND j.name = ANY($1::text[])`;
const JOBS_BY_NAME = `${LIVE_JOBS} j.name = ANY($1::text[]) ORDER BY j.name`;
const JOBS_OF_SCHEDULE = `${LIVE_JOBS} j.schedule_id = $1::uuid ORDER BY j.name`;
const JOBS_IN_ORDER = `${LIVE_JOBS} j.name > $1 ORDER BY j.name LIMIT $2`;

/** The heads of the live jobs with these names. */
export function findHeads(tx: SqlTx, names: readonly string[]): Promise<JobHead[]> {
  return tx.$queryRawUnsafe(HEADS_BY_NAME, [...names]);
}

/** The live jobs with these names, in the order of their names. */
export async function findJobs(tx: SqlTx, names: readonly string[]): Promise<StoredJob[]> {
  return (await tx.$queryRawUnsafe<JobRow[]>(JOBS_BY_NAME, [...names])).map(storedJob);
}

/** The live jobs of a schedule, in the order of their names. */
export async function jobsOfSchedule(tx: SqlTx, scheduleId: string): Promise<StoredJob[]> {
  return (await tx.$queryRawUnsafe<JobRow[]>(JOBS_OF_SCHEDULE, scheduleId)).map(storedJob);
}

/** A page of the live jobs, in the order of their names. */
export async function listJobs(tx: SqlTx, { after = "", limit }: Page): Promise<StoredJob[]> {
  return (await tx.$queryRawUnsafe<JobRow[]>(JOBS_IN_ORDER, after, limit)).map(storedJob);
}

/** A page of a list in the order of names. */
export interface Page {
  /** The last name of the page before. */
  after?: string | undefined;
  limit: number;
}

/** The live job with this name. */
export async function findJob(tx: SqlTx, name: string): Promise<StoredJob | undefined> {
  const [job] = await findJobs(tx, [name]);
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
  const { name, schedule, revision, updatedAt } = row;
  const definition = { name, schedule, ...definitionOf(row), actions: row.actions.map(eventAction) };
  return withHead(row, { revision, updatedAt, definition });
}

/** The parts of a job that come from its revision, without the schedule. */
export type FixedParts = Pick<StoredJob, "revision" | "updatedAt" | "definition">;

/** Puts a job together. */
export function withHead(head: JobHead, { revision, updatedAt, definition }: FixedParts): StoredJob {
  const { id, scheduleId, revisionId, scheduleTimezone, createdAt, readAt, pausedAt } = head;
  const paused = pausedAt && { at: pausedAt, by: head.pausedBy, reason: head.pauseReason };
  return {
    ...{ id, scheduleId, revisionId, revision, definition, scheduleTimezone },
    ...{ createdAt, updatedAt, paused, readAt },
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
export async function requireJob(tx: SqlTx, name: string): Promise<StoredJob> {
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
