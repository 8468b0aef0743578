/** Reads the next slots of all jobs, earliest first. */
import type { Database, Tx } from "../postgres/client.ts";
import { type AgendaItem, createAgenda } from "../time/agenda.ts";
import { parseCron } from "../time/cron.ts";
import type { CronJob } from "./cron-jobs.ts";

/** A job that has cron slots, with the time zones that apply to it. */
export type ScheduledJob = Pick<CronJob, "cron" | "timezone" | "scheduleTimezone"> & {
  name: string;
  schedule: string;
};

/** The jobs of {@link cronJobs} that are not paused, in the order of their names, from after `after`. */
async function scheduledJobs(tx: Tx, after: string, limit: number): Promise<ScheduledJob[]> {
  return tx.$queryRaw`
    SELECT j.name, s.name AS schedule, r.cron, r.timezone, s.tz_location AS "scheduleTimezone"
    FROM job j JOIN job_revision r ON r.id = j.current_revision_id JOIN schedule s ON s.id = j.schedule_id
    WHERE j.deleted_at IS NULL AND j.paused_at IS NULL AND r.enabled AND cardinality(r.cron) > 0
      AND j.name > ${after} ORDER BY j.name LIMIT ${limit}`;
}

const JOBS_AT_ONCE = 500;

/** A job with the time zone that applies to it. */
export interface JobInZone {
  name: string;
  schedule: string;
  timezone: string;
}

/** The slots of the next `withinMs` ms, at most `limit` of them; paused and disabled jobs have none. */
export async function readNext(
  db: Database,
  { withinMs, limit }: { withinMs: number; limit: number },
  { defaultTimezone }: { defaultTimezone: string },
): Promise<{ items: AgendaItem<JobInZone>[]; truncated: boolean }> {
  const now = await db.now();
  const agenda = createAgenda<JobInZone>({ after: now, until: new Date(now.getTime() + withinMs), limit });
  let page: ScheduledJob[];
  let after = "";
  do {
    page = await scheduledJobs(db.prisma, after, JOBS_AT_ONCE);
    for (const { name, schedule, cron, ...zones } of page) {
      const timezone = zones.timezone ?? zones.scheduleTimezone ?? defaultTimezone;
      agenda.add({ name, schedule, timezone }, cron.map(parseCron), timezone);
    }
    after = page.at(-1)?.name ?? after;
  } while (page.length === JOBS_AT_ONCE);
  return agenda.read();
}
