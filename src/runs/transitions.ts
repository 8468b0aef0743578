/** Queries of runs, attempts and their output: creating, locking, and the named transitions. */

import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import {
  type AttemptOutcome,
  type AttemptState,
  type RunState,
  runStatesBefore,
  type Trigger,
} from "./rules/states.ts";

/** A run to insert. */
export interface NewRun {
  id: string;
  jobId: string;
  revisionId: string;
  trigger: Trigger;
  triggeredBy: string;
  triggeredAt: Date;
  /** `skipped` and `missed` never run. */
  state: "queued" | "skipped" | "missed";
  /** null: it waits for a place, or never runs. */
  messageId: string | null;
  /** Why it never runs, or what was left out before it. */
  reason?: string | undefined;
  scheduledFor?: Date | undefined;
  /** Not to start before; unset: at once. */
  nextAttemptAt?: Date | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  fireEvents?: boolean | undefined;
  parentEventId?: string | undefined;
  depth?: number | undefined;
  rerunOfId?: string | undefined;
}

/** Inserts runs; answers the ids of those that are new: a slot that has its run already is left out (promise 1). */
export async function insertRuns(tx: Tx, runs: readonly NewRun[]): Promise<Set<string>> {
  const data = runs.map((run) => ({
    ...run,
    env: run.env ?? {},
    fireEvents: run.fireEvents ?? true,
    depth: run.depth ?? 1,
    finishedAt: run.state === "queued" ? null : run.triggeredAt,
  }));
  // One parameter for all of them: there is a limit to how many a statement has, and each one costs.
  const rows = await tx.$queryRaw<{ id: string }[]>`
    INSERT INTO run (id, job_id, revision_id, state, trigger, triggered_by, triggered_at, scheduled_for, env,
      fire_events, parent_event_id, depth, rerun_of_id, finished_at, next_attempt_at, message_id, reason)
    SELECT id, "jobId", "revisionId", state, trigger, "triggeredBy", "triggeredAt", "scheduledFor", env,
      "fireEvents", "parentEventId", depth, "rerunOfId", "finishedAt", "nextAttemptAt", "messageId", reason
    FROM jsonb_to_recordset(${JSON.stringify(data)}::jsonb) AS run (id uuid, "jobId" uuid, "revisionId" uuid,
      state run_state, trigger trigger_type, "triggeredBy" text, "triggeredAt" timestamptz, "scheduledFor" timestamptz,
      env jsonb, "fireEvents" boolean, "parentEventId" uuid, depth int, "rerunOfId" uuid, "finishedAt" timestamptz,
      "nextAttemptAt" timestamptz, "messageId" uuid, reason text)
    ON CONFLICT DO NOTHING RETURNING id`;
  return new Set(rows.map((row) => row.id));
}

const LOCKED_RUN = {
  job: { select: { id: true, name: true, scheduleId: true, deletedAt: true } },
  revision: true,
  parentEvent: { select: { runId: true, body: true } },
} as const;
export type LockedRun = Prisma.RunGetPayload<{ include: typeof LOCKED_RUN }>;

/** Locks a run until the transaction ends, and reads it. */
export async function lockRun(tx: Tx, id: string): Promise<LockedRun | undefined> {
  await tx.$queryRaw`SELECT 1 AS locked FROM run WHERE id = ${id}::uuid FOR UPDATE`;
  return (await tx.run.findUnique({ where: { id }, include: LOCKED_RUN })) ?? undefined;
}

/** The state did not allow the transition: the caller had not locked the run or misread it. */
class TransitionRefused extends Error {
  override readonly name = "TransitionRefused";
}

/** The only way to change a run's state: guarded by the transition table. */
async function moveRun(
  tx: Tx,
  id: string,
  to: RunState,
  data: Prisma.RunUncheckedUpdateManyInput,
): Promise<void> {
  const from = runStatesBefore(to);
  const { count } = await tx.run.updateMany({
    where: { id, state: { in: from } },
    data: { ...data, state: to },
  });
  if (count !== 1) throw new TransitionRefused(`run ${id} cannot become ${to}`);
}

export async function beginRun(tx: Tx, run: { id: string; startedAt: Date }): Promise<void> {
  await moveRun(tx, run.id, "running", { startedAt: run.startedAt, nextAttemptAt: null });
}

export async function finishRun(
  tx: Tx,
  run: {
    id: string;
    state: "succeeded" | "failed" | "cancelled";
    status: number;
    retriesExhausted: boolean;
    finishedAt: Date;
  },
): Promise<void> {
  const { id, state, ...data } = run;
  // A run that was done before its cancel reached it has not ended for that reason.
  const reason = state === "cancelled" ? {} : { reason: null };
  await moveRun(tx, id, state, { ...data, ...reason, messageId: null, nextAttemptAt: null });
}

/** Cancels a run that waits; the status of an earlier attempt stays. */
export async function cancelWaitingRun(
  tx: Tx,
  run: { id: string; finishedAt: Date; reason: string },
): Promise<void> {
  const { id, ...data } = run;
  await moveRun(tx, id, "cancelled", { ...data, messageId: null, nextAttemptAt: null });
}

/** Notes that a running run is to be ended, and why; what was noted before stays. */
export async function requestCancel(tx: Tx, run: { id: string; at: Date; reason: string }): Promise<void> {
  await tx.run.updateMany({
    where: { id: run.id, state: "running", cancelRequestedAt: null },
    data: { cancelRequestedAt: run.at, reason: run.reason },
  });
}

/** Those of these runs whose end has been asked for while they run. */
export async function findCancelRequests(tx: Tx, ids: readonly string[]): Promise<string[]> {
  const rows = await tx.run.findMany({
    where: { id: { in: [...ids] }, state: "running", cancelRequestedAt: { not: null } },
    select: { id: true },
  });
  return rows.map(({ id }) => id);
}

export async function retryRun(
  tx: Tx,
  run: { id: string; status: number; nextAttempt: number; nextAttemptAt: Date; messageId: string },
): Promise<void> {
  const { status, nextAttempt, nextAttemptAt, messageId } = run;
  await moveRun(tx, run.id, "retrying", { status, attempt: nextAttempt, nextAttemptAt, messageId });
}

export async function requeueRun(tx: Tx, run: { id: string; messageId: string }): Promise<void> {
  await moveRun(tx, run.id, "queued", { messageId: run.messageId });
}

/** Gives runs other messages, their states unchanged. */
export async function replaceMessages(
  tx: Tx,
  runs: readonly { id: string; messageId: string }[],
): Promise<void> {
  if (runs.length === 0) return;
  await tx.$executeRaw`
    UPDATE run SET message_id = next.message_id
    FROM unnest(${runs.map((run) => run.id)}::uuid[], ${runs.map((run) => run.messageId)}::uuid[]) next (id, message_id)
    WHERE run.id = next.id`;
}

/** Locks the runs of these jobs that have not begun, so that they can be cancelled. */
export async function lockWaitingRuns(tx: Tx, jobIds: readonly string[]): Promise<WaitingRun[]> {
  return tx.$queryRaw`
    SELECT run.id, run.message_id AS "messageId", r.pool
    FROM run JOIN job_revision r ON r.id = run.revision_id
    WHERE run.job_id = ANY(${[...jobIds]}::uuid[]) AND run.state IN ('queued', 'retrying')
    ORDER BY run.id FOR UPDATE OF run`;
}

/** A run that has not begun, and where its message is, if it has one. */
export interface WaitingRun {
  id: string;
  messageId: string | null;
  pool: string;
}

export async function insertAttempt(
  tx: Tx,
  attempt: { id: string; runId: string; number: number; worker: string; startedAt: Date },
): Promise<void> {
  const claim = await tx.attempt.count({ where: { runId: attempt.runId, number: attempt.number } });
  await tx.attempt.create({ data: { ...attempt, claim } });
}

/** The attempt of this run that is running; there is at most one. */
export async function runningAttempt(tx: Tx, runId: string): Promise<{ id: string } | undefined> {
  return (
    (await tx.attempt.findFirst({ where: { runId, state: "running" }, select: { id: true } })) ?? undefined
  );
}

export async function finishAttempt(
  tx: Tx,
  attempt: { id: string; outcome: AttemptOutcome; finishedAt: Date; reason?: string | undefined },
): Promise<void> {
  const state: AttemptState = attempt.outcome.state;
  const { count } = await tx.attempt.updateMany({
    where: { id: attempt.id, state: "running" },
    data: {
      state,
      status: attempt.outcome.status,
      finishedAt: attempt.finishedAt,
      reason: attempt.reason ?? null,
    },
  });
  if (count !== 1) throw new TransitionRefused(`attempt ${attempt.id} cannot become ${state}`);
}

/** Runs that have not ended, oldest first, after `afterId`. */
export async function activeRuns(
  tx: Tx,
  afterId: string | undefined,
  limit: number,
): Promise<{ id: string; jobId: string; messageId: string | null }[]> {
  return tx.run.findMany({
    where: {
      state: { in: ["queued", "running", "retrying"] },
      ...(afterId === undefined ? {} : { id: { gt: afterId } }),
    },
    select: { id: true, jobId: true, messageId: true },
    orderBy: { id: "asc" },
    take: limit,
  });
}
