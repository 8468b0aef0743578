/** Reads jobs, their revisions and schedules, and hides values that may be secret from all but admins. */
import { allows, type Caller } from "../access/rules/grants.ts";
import { maskActions, maskDefinition } from "../access/rules/masks.ts";
import { CarillonError } from "../errors.ts";
import {
  findRevisions,
  jobsOfSchedule,
  listJobs,
  type Page,
  type StoredJob,
  type StoredRevision,
} from "../jobs/find.ts";
import { findCommittedJob } from "../jobs/find-committed.ts";
import type { JobDefinition } from "../jobs/rules/definition.ts";
import type { Database, Tx } from "../postgres/client.ts";
import { findSchedule, findSchedules, type ListedSchedule, type StoredSchedule } from "./schedule-rows.ts";

/** A schedule with its live jobs. */
export interface ScheduleState {
  schedule: StoredSchedule;
  jobs: StoredJob[];
}

/** Reads the live job with this name. Throws job_not_found. */
export async function readJob(db: Database, caller: Caller, name: string): Promise<StoredJob> {
  const job = await findCommittedJob(db, name);
  if (job === undefined) throw new CarillonError("job_not_found", `There is no job ${name}.`);
  return maskFor(caller, job);
}

/** A page of jobs, in the order of their names. */
export async function readJobs(db: Database, caller: Caller, page: Page): Promise<StoredJob[]> {
  const jobs = await listJobs(db.prisma, page);
  return jobs.map((job) => maskFor(caller, job));
}

/** The revisions of a job, newest first. Throws job_not_found. */
export async function readRevisions(
  db: Database,
  caller: Caller,
  name: string,
  page: { before?: number | undefined; limit: number },
): Promise<StoredRevision[]> {
  const { id } = await readJob(db, caller, name);
  const revisions = await findRevisions(db.prisma, { id, name }, page);
  return revisions.map((revision) => maskFor(caller, revision));
}

/** Reads one revision of a job. Throws job_not_found, revision_not_found. */
export async function readRevision(
  db: Database,
  caller: Caller,
  name: string,
  number: number,
): Promise<StoredRevision> {
  const [revision] = await readRevisions(db, caller, name, { before: number + 1, limit: 1 });
  if (revision?.number === number) return revision;
  throw new CarillonError("revision_not_found", `The job ${name} has no revision ${number}.`);
}

/** A page of schedules, in the order of their names. */
export async function readSchedules(db: Database, caller: Caller, page: Page): Promise<ListedSchedule[]> {
  const schedules = await findSchedules(db.prisma, page);
  return schedules.map((schedule) => maskScheduleFor(caller, schedule));
}

/** Reads a schedule with its live jobs. Throws schedule_not_found. */
export async function readSchedule(db: Database, caller: Caller, name: string): Promise<ScheduleState> {
  const state = await findScheduleState(db.prisma, name);
  if (state === undefined) throw new CarillonError("schedule_not_found", `There is no schedule ${name}.`);
  const { schedule, jobs } = state;
  return { schedule: maskScheduleFor(caller, schedule), jobs: jobs.map((job) => maskFor(caller, job)) };
}

function maskFor<Row extends { definition: JobDefinition }>(caller: Caller, row: Row): Row {
  if (allows(caller, "admin")) return row;
  return { ...row, definition: maskDefinition(row.definition) };
}

function maskScheduleFor<Schedule extends StoredSchedule>(caller: Caller, schedule: Schedule): Schedule {
  if (allows(caller, "admin")) return schedule;
  return { ...schedule, actions: maskActions(schedule.actions) };
}

/** The schedule with this name, and its live jobs in the order of their names. */
export async function findScheduleState(tx: Tx, name: string): Promise<ScheduleState | undefined> {
  const schedule = await findSchedule(tx, name);
  return schedule && { schedule, jobs: await jobsOfSchedule(tx, schedule.id) };
}
