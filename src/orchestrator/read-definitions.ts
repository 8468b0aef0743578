/** Reads jobs and schedules. */
import { CarillonError } from "../core/errors.ts";
import {
  findJob,
  findJobs,
  findSchedules,
  type Page,
  type StoredJob,
  type StoredSchedule,
} from "../db/definitions.ts";
import type { Deps } from "./deps.ts";

/** Throws job_not_found. */
export async function readJob(deps: Deps, name: string): Promise<StoredJob> {
  const job = await findJob(deps.db.prisma, name);
  if (job === undefined) throw new CarillonError("job_not_found", `there is no job ${name}`);
  return job;
}

/** Jobs by name. */
export async function readJobs(deps: Deps, page: Page): Promise<StoredJob[]> {
  return findJobs(deps.db.prisma, {}, page);
}

/** Throws schedule_not_found. */
export async function readSchedule(
  deps: Deps,
  name: string,
): Promise<{ schedule: StoredSchedule; jobs: StoredJob[] }> {
  const [schedule] = await findSchedules(deps.db.prisma, { name });
  if (schedule === undefined) throw new CarillonError("schedule_not_found", `there is no schedule ${name}`);
  return { schedule, jobs: await findJobs(deps.db.prisma, { scheduleId: schedule.id }) };
}
