/** Reads jobs, their revisions, and schedules. */
import { CarillonError } from "../core/errors.ts";
import { findJob, findJobs, type Page, type StoredJob } from "../db/definitions.ts";
import { findRevisions, type StoredRevision } from "../db/revisions.ts";
import { findSchedule, findSchedules, type ListedSchedule, type StoredSchedule } from "../db/schedules.ts";
import type { Deps, Tx } from "./deps.ts";

/** A schedule with its live jobs. */
export interface ScheduleState {
  schedule: StoredSchedule;
  jobs: StoredJob[];
}

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

/** What a job has said, the newest first. Throws job_not_found. */
export async function readRevisions(
  deps: Deps,
  name: string,
  page: { before?: number | undefined; limit: number },
): Promise<StoredRevision[]> {
  const { id } = await readJob(deps, name);
  return findRevisions(deps.db.prisma, { id, name }, page);
}

/** Throws job_not_found, revision_not_found. */
export async function readRevision(deps: Deps, name: string, number: number): Promise<StoredRevision> {
  const [revision] = await readRevisions(deps, name, { before: number + 1, limit: 1 });
  if (revision?.number === number) return revision;
  throw new CarillonError("revision_not_found", `job ${name} has no revision ${number}`);
}

/** Schedules by name. */
export async function readSchedules(deps: Deps, page: Page): Promise<ListedSchedule[]> {
  return findSchedules(deps.db.prisma, page);
}

/** Throws schedule_not_found. */
export async function readSchedule(deps: Deps, name: string): Promise<ScheduleState> {
  const state = await findScheduleState(deps.db.prisma, name);
  if (state === undefined) throw new CarillonError("schedule_not_found", `there is no schedule ${name}`);
  return state;
}

/** The schedule of this name, its jobs by name. */
export async function findScheduleState(tx: Tx, name: string): Promise<ScheduleState | undefined> {
  const schedule = await findSchedule(tx, name);
  return schedule && { schedule, jobs: await findJobs(tx, { scheduleId: schedule.id }) };
}
