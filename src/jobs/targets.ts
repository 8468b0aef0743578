/** Queries of which job triggers which. */
import type { Tx } from "../postgres/client.ts";

/** Ids of the live jobs of these names. */
export async function liveJobIds(tx: Tx, names: readonly string[]): Promise<Map<string, string>> {
  const rows = await tx.job.findMany({
    where: { name: { in: [...names] }, deletedAt: null },
    select: { id: true, name: true },
  });
  return new Map(rows.map((row) => [row.name, row.id]));
}

/** Which jobs and schedules, such as `job coffee`, trigger these jobs now. */
export async function whoTriggers(
  tx: Tx,
  jobIds: readonly string[],
): Promise<{ jobId: string; by: string }[]> {
  return tx.$queryRaw`
    SELECT a.target_job_id AS "jobId", 'job ' || j.name AS by FROM event_action a
    JOIN job j ON j.current_revision_id = a.job_revision_id AND j.deleted_at IS NULL
    WHERE a.target_job_id = ANY(${[...jobIds]}::uuid[]) AND j.id <> a.target_job_id
    UNION SELECT a.target_job_id, 'schedule ' || s.name FROM event_action a
    JOIN schedule s ON s.id = a.schedule_id WHERE a.target_job_id = ANY(${[...jobIds]}::uuid[])
    ORDER BY "jobId", by`;
}

/** One arrow of the graph of triggers: job-level, or a schedule-level one for each job of the schedule. */
export interface TriggerEdge {
  job: string;
  target: string;
}

/**
 * The arrows between live jobs that may not form a circle: those of jobs that say allow_cycle are left out, and a
 * schedule-level action never re-triggers the job that it names.
 */
export async function checkedEdges(tx: Tx): Promise<TriggerEdge[]> {
  return tx.$queryRaw<TriggerEdge[]>`
    SELECT j.name AS job, t.name AS target FROM event_action a
    JOIN job j ON j.current_revision_id = a.job_revision_id AND j.deleted_at IS NULL
    JOIN job_revision r ON r.id = j.current_revision_id AND NOT r.allow_cycle
    JOIN job t ON t.id = a.target_job_id
    UNION SELECT j.name, t.name FROM event_action a
    JOIN job j ON j.schedule_id = a.schedule_id AND j.deleted_at IS NULL AND j.id <> a.target_job_id
    JOIN job_revision r ON r.id = j.current_revision_id AND NOT r.allow_cycle
    JOIN job t ON t.id = a.target_job_id`;
}
