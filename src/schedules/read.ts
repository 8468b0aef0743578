/** Reads jobs, their revisions, and schedules: for callers without the scope admin without secret values. */

import { allows } from "../access/rules/grants.ts";
import { maskActions, maskDefinition } from "../access/rules/masks.ts";
import type { CallerDeps } from "../deps.ts";
import { CarillonError } from "../errors.ts";
import { findJob, findJobs, type Page, type StoredJob } from "../jobs/find.ts";
import { findRevisions, type StoredRevision } from "../jobs/revisions.ts";
import type { JobDefinition } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import { findSchedule, findSchedules, type ListedSchedule, type StoredSchedule } from "./schedule-rows.ts";

/** A schedule with its live jobs. */
export interface ScheduleState {
  schedule: StoredSchedule;
  jobs: StoredJob[];
}

/** Throws job_not_found. */
export async function readJob(deps: CallerDeps, name: string): Promise<StoredJob> {
  const job = await findJob(deps.db.prisma, name);
  if (job === undefined) throw new CarillonError("job_not_found", `there is no job ${name}`);
  return shown(deps, job);
}

/** Jobs by name. */
export async function readJobs(deps: CallerDeps, page: Page): Promise<StoredJob[]> {
  const jobs = await findJobs(deps.db.prisma, {}, page);
  return jobs.map((job) => shown(deps, job));
}

/** What a job has said, the newest first. Throws job_not_found. */
export async function readRevisions(
  deps: CallerDeps,
  name: string,
  page: { before?: number | undefined; limit: number },
): Promise<StoredRevision[]> {
  const { id } = await readJob(deps, name);
  const revisions = await findRevisions(deps.db.prisma, { id, name }, page);
  return revisions.map((revision) => shown(deps, revision));
}

/** Throws job_not_found, revision_not_found. */
export async function readRevision(deps: CallerDeps, name: string, number: number): Promise<StoredRevision> {
  const [revision] = await readRevisions(deps, name, { before: number + 1, limit: 1 });
  if (revision?.number === number) return revision;
  throw new CarillonError("revision_not_found", `job ${name} has no revision ${number}`);
}

/** Schedules by name. */
export async function readSchedules(deps: CallerDeps, page: Page): Promise<ListedSchedule[]> {
  const schedules = await findSchedules(deps.db.prisma, page);
  return schedules.map((schedule) => shownSchedule(deps, schedule));
}

/** Throws schedule_not_found. */
export async function readSchedule(deps: CallerDeps, name: string): Promise<ScheduleState> {
  const state = await findScheduleState(deps.db.prisma, name);
  if (state === undefined) throw new CarillonError("schedule_not_found", `there is no schedule ${name}`);
  const { schedule, jobs } = state;
  return { schedule: shownSchedule(deps, schedule), jobs: jobs.map((job) => shown(deps, job)) };
}

function shown<Said extends { definition: JobDefinition }>({ caller }: CallerDeps, said: Said): Said {
  if (allows(caller, "admin")) return said;
  return { ...said, definition: maskDefinition(said.definition) };
}

function shownSchedule<Schedule extends StoredSchedule>(
  { caller }: CallerDeps,
  schedule: Schedule,
): Schedule {
  if (allows(caller, "admin")) return schedule;
  return { ...schedule, actions: maskActions(schedule.actions) };
}

/** The schedule of this name, its jobs by name. */
export async function findScheduleState(tx: Tx, name: string): Promise<ScheduleState | undefined> {
  const schedule = await findSchedule(tx, name);
  return schedule && { schedule, jobs: await findJobs(tx, { scheduleId: schedule.id }) };
}
