/** Writes jobs, their revisions and their event actions. */
import { randomUUID } from "node:crypto";
import { actionOptions, type EventAction, type JobDefinition } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";

/** Inserts new jobs. The same transaction must write their first revisions. */
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

/** Writes revisions and makes them current. The number of statements does not depend on the number of jobs. */
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

/** Hides jobs; their history stays. */
export async function markDeleted(tx: Tx, jobIds: readonly string[], now: Date): Promise<void> {
  await tx.job.updateMany({ where: { id: { in: [...jobIds] } }, data: { deletedAt: now, updatedAt: now } });
}

/** The rows of actions, without the id of the job or schedule that owns them. */
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
