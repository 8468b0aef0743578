/** Queries of jobs, their current revisions and event actions. */

import { randomUUID } from "node:crypto";
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

/** Operator state of a job: since when it has no cron slots, and who wants it so. */
export interface Pause {
  at: Date;
  by: string | null;
  reason: string | null;
}

/** What to read with whatever has event actions. */
export const ACTION_ROWS = {
  include: { targetJob: { select: { name: true } } },
  orderBy: { position: "asc" },
} as const;
const JOB_ROWS = { schedule: true, currentRevision: { include: { actions: ACTION_ROWS } } } as const;

type JobRow = Prisma.JobGetPayload<{ include: typeof JOB_ROWS }>;
type ActionRow = Prisma.EventActionGetPayload<{ include: (typeof ACTION_ROWS)["include"] }>;
type RevisionRow = Prisma.JobRevisionGetPayload<object>;

/**
 * One writer of definitions at a time, so that names, targets and cycles are checked against the truth; and
 * a new version number, by which schedulers see that something has changed.
 */
export async function lockDefinitions(tx: Tx): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO definition_version (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = definition_version.version + 1`;
}

/** The live jobs that match, by name. */
export async function findJobs(tx: Tx, where: Prisma.JobWhereInput = {}, page?: Page): Promise<StoredJob[]> {
  const rows = await tx.job.findMany({
    where: { ...where, deletedAt: null, ...(page?.after === undefined ? {} : { name: { gt: page.after } }) },
    include: JOB_ROWS,
    orderBy: { name: "asc" },
    ...(page === undefined ? {} : { take: page.limit }),
  });
  return rows.map(storedJob);
}

export interface Page {
  /** The last name of the page before. */
  after?: string | undefined;
  limit: number;
}

/** The live job of this name. */
export async function findJob(tx: Tx, name: string): Promise<StoredJob | undefined> {
  const [job] = await findJobs(tx, { name });
  return job;
}

/** Rows for new jobs, which are to get their first revision in the same transaction. */
export async function insertJobs(
  tx: Tx,
  scheduleId: string,
  names: readonly string[],
  now: Date,
): Promise<void> {
  await tx.job.createMany({
    data: names.map((name) => ({ name, scheduleId, createdAt: now, updatedAt: now })),
  });
}

/** The next revision of a job. */
export interface NextRevision {
  jobId: string;
  number: number;
  definition: JobDefinition;
}

/** Writes revisions of jobs and makes them the current ones, in so many statements however many there are. */
export async function writeRevisions(
  tx: Tx,
  scheduleId: string,
  next: readonly NextRevision[],
  jobIds: ReadonlyMap<string, string>,
  now: Date,
): Promise<void> {
  if (next.length === 0) return;
  const revisions = next.map((revision) => ({ id: randomUUID(), ...revision }));
  await tx.jobRevision.createMany({
    data: revisions.map(({ definition, ...keys }) => ({
      ...keys,
      createdAt: now,
      ...revisionColumns(definition),
    })),
  });
  await tx.eventAction.createMany({
    data: revisions.flatMap(({ id, definition }) =>
      actionRows(definition.actions, jobIds).map((row) => ({ ...row, jobRevisionId: id })),
    ),
  });
  await tx.$executeRaw`
    UPDATE job SET current_revision_id = r.id, concurrency_limit = r.concurrency_limit,
      schedule_id = ${scheduleId}::uuid, updated_at = r.created_at
    FROM job_revision r WHERE r.id = ANY(${revisions.map(({ id }) => id)}::uuid[]) AND job.id = r.job_id`;
}

/** Pauses a job, or lets it go on; the scheduler counts its slots from `now` on. */
export async function writePause(tx: Tx, jobId: string, pause: Pause | null, now: Date): Promise<void> {
  await tx.job.update({
    where: { id: jobId },
    data: {
      pausedAt: pause?.at ?? null,
      pausedBy: pause?.by ?? null,
      pauseReason: pause?.reason ?? null,
      updatedAt: now,
    },
  });
}

/** Hides jobs; their history stays. */
export async function markDeleted(tx: Tx, jobIds: readonly string[], now: Date): Promise<void> {
  await tx.job.updateMany({ where: { id: { in: [...jobIds] } }, data: { deletedAt: now, updatedAt: now } });
}

/** Rows of actions, but for whose they are. */
export function actionRows(actions: readonly EventAction[], jobIds: ReadonlyMap<string, string>) {
  return actions.map((one, position) => {
    const { event, action, target } = one;
    if (action !== "trigger_job")
      return { event, action, position, url: target, options: { ...actionOptions(one) } };
    const targetJobId = jobIds.get(target);
    if (targetJobId === undefined) throw new Error(`trigger_job target ${target} has no row`);
    return { event, action, position, targetJobId };
  });
}

function revisionColumns(d: JobDefinition) {
  return {
    shell: d.command.kind === "shell",
    command: d.command.kind === "shell" ? [d.command.text] : [...d.command.argv],
    cron: [...d.cron],
    timezone: d.timezone,
    env: d.env,
    secretEnv: d.secretEnv,
    params: [...d.params],
    workingDirectory: d.workingDirectory,
    user: d.user,
    retryLimit: d.retry.limit,
    retryDelayMs: d.retry.delayMs,
    retryBackoff: d.retry.backoff,
    retryMaxDelayMs: d.retry.maxDelayMs,
    retryJitter: d.retry.jitter,
    retryExitCodes: [...d.retry.exitCodes],
    timeoutMs: d.timeoutMs,
    concurrencyLimit: d.concurrency.limit,
    concurrencyPolicy: d.concurrency.policy,
    missedRuns: d.missedRuns.policy,
    catchupWindowMs: d.missedRuns.windowMs,
    jitterMs: d.jitterMs,
    pool: d.pool,
    logLimitBytes: d.logLimitBytes,
    logRetentionMs: d.logRetentionMs,
    allowCycle: d.allowCycle,
    enabled: d.enabled,
    description: d.description,
    labels: d.labels,
  };
}

/** What a revision says, without its name, schedule and actions. */
export function definitionOf(row: RevisionRow): Omit<JobDefinition, "name" | "schedule" | "actions"> {
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

/** An action as a document has it. */
export function eventAction(row: ActionRow): EventAction {
  return {
    event: row.event,
    action: row.action,
    target: row.url ?? row.targetJob?.name ?? "",
    ...actionOptions(row.options as ActionOptions),
  };
}

/** A whole number that Postgres keeps as bigint. */
export function numberOrNull(value: bigint | null): number | null {
  return value === null ? null : Number(value);
}
