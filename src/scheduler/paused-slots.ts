/** Records the slots of paused jobs as missed: the first of a pause in rows of their own, the others in one row. */
import type { Infra } from "../infra.ts";
import type { CronJob } from "../jobs/cron-jobs.ts";
import { type Database, databaseNow, type Tx } from "../postgres/client.ts";
import { countPaused, type NewestRow, pausedReason, splitPaused } from "../runs/rules/missed.ts";
import { createRuns, type DueSlot } from "../runs/trigger.ts";
import { lockProgress } from "./progress.ts";

/** The due slots of a paused job. */
export interface PausedSlots {
  jobId: string;
  paused: NonNullable<CronJob["paused"]>;
  slots: readonly Date[];
}

/**
 * Splits the due slots of paused jobs.
 * @returns `own`: the slots to record in rows of their own; `counted`: those for {@link countPausedSlots}, afterwards
 */
export async function missedByPause(
  db: Database,
  all: readonly PausedSlots[],
): Promise<{ own: DueSlot[]; counted: PausedSlots[] }> {
  if (all.length === 0) return { own: [], counted: [] };
  const pauses = all.map(({ jobId, paused }) => ({ jobId, pausedAt: paused.at }));
  const recorded = await countMissedInPause(db.prisma, pauses);
  const split = all.map((job) => ({ job, ...splitPaused(job.slots, recorded.get(job.jobId) ?? 0) }));
  return {
    own: split.flatMap(({ job: { jobId, paused }, own }) =>
      own.map((scheduledFor) => ({ jobId, scheduledFor, missed: pausedReason(paused) })),
    ),
    counted: split.flatMap(({ job, counted }) => (counted.length === 0 ? [] : { ...job, slots: counted })),
  };
}

/** Counts, for each paused job, the slots recorded as missed since its pause. */
async function countMissedInPause(
  tx: Tx,
  paused: readonly { jobId: string; pausedAt: Date }[],
): Promise<Map<string, number>> {
  const [jobIds, times] = [paused.map((p) => p.jobId), paused.map((p) => p.pausedAt.toISOString())];
  const counts = await tx.$queryRaw<{ jobId: string; count: number }[]>`
    SELECT paused.job_id AS "jobId", count(*)::int AS count
    FROM unnest(${jobIds}::uuid[], ${times}::timestamptz[]) AS paused (job_id, since)
    JOIN run ON run.job_id = paused.job_id AND run.scheduled_for > paused.since AND run.state = 'missed'
    GROUP BY 1`;
  return new Map(counts.map(({ jobId, count }) => [jobId, count]));
}

/**
 * Counts slots of paused jobs, each in the newest missed row of its job. The rows of all earlier slots must exist. Two
 * schedulers with the same slots count them once.
 */
export async function countPausedSlots({ db, queue }: Infra, jobs: readonly PausedSlots[]): Promise<void> {
  if (jobs.length === 0) return;
  await db.transaction(async (tx) => {
    await lockProgress(tx);
    const triggeredAt = await databaseNow(tx);
    const newest = await newestRows(tx, jobs);
    const rows = jobs.flatMap(({ jobId, paused, slots }) => {
      const before = newest.get(jobId);
      const row = countPaused(before, slots, pausedReason(paused));
      return row === undefined ? [] : { ...row, jobId, id: row.continues ? before?.id : undefined };
    });
    await moveRows(
      tx,
      rows.filter((row) => row.id !== undefined),
    );
    const common = { trigger: "cron", triggeredBy: "cron", triggeredAt } as const;
    const added = rows.filter((row) => row.id === undefined);
    await createRuns(
      queue,
      tx,
      added.map(({ jobId, scheduledFor, reason }) => ({ ...common, jobId, scheduledFor, missed: reason })),
    );
  });
}

/** The newest row of each job for a slot that is not after the given ones. */
async function newestRows(
  tx: Tx,
  jobs: readonly PausedSlots[],
): Promise<Map<string, NewestRow & { id: string }>> {
  const ids = jobs.map((job) => job.jobId);
  const times = jobs.map((job) => job.slots.at(-1)?.toISOString());
  const rows = await tx.$queryRaw<(NewestRow & { id: string; jobId: string })[]>`
    SELECT job.id AS "jobId", newest.* FROM unnest(${ids}::uuid[], ${times}::timestamptz[]) AS job (id, until)
    CROSS JOIN LATERAL (
      SELECT id, scheduled_for AS "scheduledFor", CASE state WHEN 'missed' THEN reason END AS reason
      FROM run WHERE job_id = job.id AND scheduled_for <= job.until ORDER BY scheduled_for DESC LIMIT 1
    ) AS newest`;
  return new Map(rows.map((row) => [row.jobId, row]));
}

/** Moves rows to the last slot that they count. They have just ended, so retention counts from now. */
async function moveRows(
  tx: Tx,
  rows: readonly { id: string | undefined; scheduledFor: Date; reason: string | undefined }[],
): Promise<void> {
  if (rows.length === 0) return;
  await tx.$executeRaw`
    UPDATE run SET scheduled_for = moved."scheduledFor", reason = moved.reason, finished_at = now()
    FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS moved (id uuid, "scheduledFor" timestamptz, reason text)
    WHERE run.id = moved.id`;
}
