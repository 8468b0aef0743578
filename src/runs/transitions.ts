/** Locks runs, and changes their states as the table of transitions allows. */
import type { SqlTx, Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { type AttemptOutcome, type RunState, runStatesBefore } from "./rules/states.ts";

const LOCKED_RUN = {
  job: { select: { id: true, name: true, scheduleId: true, deletedAt: true } },
  revision: true,
} as const;
export type LockedRun = Prisma.RunGetPayload<{ include: typeof LOCKED_RUN }>;

/** Locks a run until the transaction ends, and reads it. */
export async function lockRun(tx: Tx, id: string): Promise<LockedRun | undefined> {
  await tx.$queryRaw`SELECT 1 AS locked FROM run WHERE id = ${id}::uuid FOR UPDATE`;
  return (await tx.run.findUnique({ where: { id }, include: LOCKED_RUN })) ?? undefined;
}

/** The current state does not allow a transition: the caller did not lock the run, or did not check its state. */
class TransitionRefused extends Error {
  override readonly name = "TransitionRefused";
}

/** A change of a run's state, and the columns that change with it; the others keep their values. */
export interface RunMove {
  id: string;
  to: RunState;
  set: Partial<{
    status: number;
    retriesExhausted: boolean;
    attempt: number;
    startedAt: Date;
    finishedAt: Date;
    nextAttemptAt: Date | null;
    messageId: string | null;
    reason: string | null;
  }>;
}

/** Changes the states of runs. Throws TransitionRefused when the table of transitions does not allow one of them. */
export async function moveRuns(tx: SqlTx, moves: readonly RunMove[]): Promise<void> {
  if (moves.length === 0) return;
  const data = moves.map(({ id, to, set }) => ({ id, to, from: runStatesBefore(to), set }));
  const moved = await tx.$executeRaw`
    UPDATE run SET state = move."to"::run_state,
      status = CASE WHEN set ? 'status' THEN (set->>'status')::int ELSE run.status END,
      retries_exhausted = CASE WHEN set ? 'retriesExhausted' THEN (set->>'retriesExhausted')::boolean ELSE run.retries_exhausted END,
      attempt = CASE WHEN set ? 'attempt' THEN (set->>'attempt')::int ELSE run.attempt END,
      started_at = CASE WHEN set ? 'startedAt' THEN (set->>'startedAt')::timestamptz ELSE run.started_at END,
      finished_at = CASE WHEN set ? 'finishedAt' THEN (set->>'finishedAt')::timestamptz ELSE run.finished_at END,
      next_attempt_at = CASE WHEN set ? 'nextAttemptAt' THEN (set->>'nextAttemptAt')::timestamptz ELSE run.next_attempt_at END,
      message_id = CASE WHEN set ? 'messageId' THEN (set->>'messageId')::uuid ELSE run.message_id END,
      reason = CASE WHEN set ? 'reason' THEN set->>'reason' ELSE run.reason END
    FROM jsonb_to_recordset(${JSON.stringify(data)}::jsonb) AS move (id uuid, "to" text, "from" jsonb, set jsonb)
    WHERE run.id = ANY(${moves.map(({ id }) => id)}::uuid[]) AND run.id = move.id AND move."from" ? run.state::text`;
  if (moved === moves.length) return;
  const what = moves.map(({ id, to }) => `run ${id} to ${to}`).join(", ");
  throw new TransitionRefused(`not allowed: ${what}`);
}

/** Stores the ids of the new messages of runs. */
export async function replaceMessages(
  tx: SqlTx,
  runs: readonly { id: string; messageId: string }[],
): Promise<void> {
  if (runs.length === 0) return;
  await tx.$executeRaw`
    UPDATE run SET message_id = next.message_id
    FROM unnest(${runs.map((run) => run.id)}::uuid[], ${runs.map((run) => run.messageId)}::uuid[]) next (id, message_id)
    WHERE run.id = ANY(${runs.map((run) => run.id)}::uuid[]) AND run.id = next.id`;
}

/** The end of a running attempt. */
export interface AttemptEnd {
  id: string;
  outcome: AttemptOutcome;
  finishedAt: Date;
  reason: string | null;
}

/** Ends running attempts. Throws TransitionRefused when one of them is no longer running. */
export async function finishAttempts(tx: SqlTx, ends: readonly AttemptEnd[]): Promise<void> {
  if (ends.length === 0) return;
  const data = ends.map(({ outcome, ...end }) => ({ ...end, state: outcome.state, status: outcome.status }));
  const finished = await tx.$executeRaw`
    UPDATE attempt SET state = ended.state, status = ended.status, finished_at = ended."finishedAt", reason = ended.reason
    FROM jsonb_to_recordset(${JSON.stringify(data)}::jsonb)
      AS ended (id uuid, state attempt_state, status int, "finishedAt" timestamptz, reason text)
    WHERE attempt.id = ANY(${ends.map(({ id }) => id)}::uuid[]) AND attempt.id = ended.id
      AND attempt.state = 'running'`;
  if (finished === ends.length) return;
  throw new TransitionRefused(`an attempt is no longer running: ${ends.map(({ id }) => id).join(", ")}`);
}
