/** Reads the slots to come: of all jobs, in the order of time. */

import type { Deps } from "../deps.ts";
import { type AgendaItem, createAgenda } from "../time/agenda.ts";
import { parseCron } from "../time/cron.ts";
import { type ScheduledJob, scheduledJobs } from "./cron-jobs.ts";

const JOBS_AT_ONCE = 500;

/** A job with the zone in force. */
export interface NextOf {
  name: string;
  schedule: string;
  timezone: string;
}

/** The slots of the next `withinMs`, at most `limit`; none of jobs that are paused or disabled. */
export async function readNext(
  { db, defaultTimezone }: Deps,
  { withinMs, limit }: { withinMs: number; limit: number },
): Promise<{ items: AgendaItem<NextOf>[]; truncated: boolean }> {
  const now = await db.now();
  const agenda = createAgenda<NextOf>({ after: now, until: new Date(now.getTime() + withinMs), limit });
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
