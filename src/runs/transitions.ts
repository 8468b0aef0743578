/** Locks runs, and changes their states as the table of transitions allows. */
import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { type AttemptOutcome, type AttemptState, type RunState, runStatesBefore } from "./rules/states.ts";

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

/** The current state does not allow a transition: the caller did not lock the run, or did not check its state. */
class TransitionRefused extends Error {
  override readonly name = "TransitionRefused";
}

/** Changes the state of a run. Throws TransitionRefused when the table of transitions does not allow it. */
export async function moveRun(
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

/** Stores the ids of the new messages of runs. */
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

/** The running attempt of a run; there is at most one. */
export async function runningAttempt(tx: Tx, runId: string): Promise<{ id: string } | undefined> {
  return (
    (await tx.attempt.findFirst({ where: { runId, state: "running" }, select: { id: true } })) ?? undefined
  );
}

/** Ends the running attempt. Throws TransitionRefused when it is no longer running. */
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
