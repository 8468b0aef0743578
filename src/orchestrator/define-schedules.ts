/** Saves, changes and deletes whole schedules; what is saved is whole, or nothing is. */
import { CarillonError } from "../core/errors.ts";
import type { JobDefinition, ScheduleDefinition } from "../core/job.ts";
import { databaseNow } from "../db/client.ts";
import { lockFully } from "../db/concurrency.ts";
import { findJobs, markDeleted, type StoredJob } from "../db/definitions.ts";
import { ensureSchedule, hideSchedule, scheduleOf, writeSchedule } from "../db/schedules.ts";
import type { Deps, Tx } from "./deps.ts";
import { findScheduleState, type ScheduleState } from "./read-definitions.ts";
import { deleteJobs, type SaveOptions, save, saveJobs } from "./save-definitions.ts";

/** A schedule as it is now, its jobs in the order of the document, and as it was before. */
export interface SavedSchedule {
  before: ScheduleState | undefined;
  after: ScheduleState;
}

/** Makes the database equal to the document. Throws invalid_document, job_exists, job_in_use. */
export async function putSchedule(
  deps: Deps,
  schedule: ScheduleDefinition,
  options: SaveOptions = {},
): Promise<SavedSchedule> {
  return save(deps, options, async (tx) => {
    const before = await findScheduleState(tx, schedule.name);
    return { before, after: await writeWhole(deps, tx, schedule, before?.jobs ?? []) };
  });
}

/** Saves what `edit` makes of a schedule. Throws schedule_not_found, what putSchedule throws, and what `edit` throws. */
export async function editSchedule(
  deps: Deps,
  name: string,
  edit: (before: ScheduleState) => ScheduleDefinition,
  options: SaveOptions = {},
): Promise<SavedSchedule> {
  return save(deps, options, async (tx) => {
    const before = await requireSchedule(tx, name);
    return { before, after: await writeWhole(deps, tx, edit(before), before.jobs) };
  });
}

/** Deletes a schedule with its jobs. Throws schedule_not_found, job_in_use when another schedule triggers one. */
export async function deleteSchedule(deps: Deps, name: string): Promise<void> {
  await save(deps, {}, async (tx) => {
    const { schedule, jobs } = await requireSchedule(tx, name);
    const now = await databaseNow(tx);
    await lockFully(tx, idsOf(jobs));
    // First, so that its own actions do not keep the jobs.
    await hideSchedule(tx, schedule, now);
    await deleteJobs(deps, tx, jobs, now);
  });
}

/** Makes a schedule, of which these are the jobs, equal to the document. */
async function writeWhole(
  deps: Deps,
  tx: Tx,
  schedule: ScheduleDefinition,
  jobs: readonly StoredJob[],
): Promise<ScheduleState> {
  const now = await databaseNow(tx);
  await lockFully(tx, idsOf(jobs));
  const { id } = await ensureSchedule(tx, schedule.name, now);
  await refuseForeignJobs(tx, id, schedule.jobs);
  const kept = new Set(schedule.jobs.map((job) => job.name));
  const removed = jobs.filter((job) => !kept.has(job.definition.name));
  // First, so that what stays cannot name what goes.
  await markDeleted(tx, idsOf(removed), now);
  const before = new Map(jobs.map((job) => [job.definition.name, job]));
  const ids = await saveJobs(deps, tx, { scheduleId: id, jobs: schedule.jobs, before, now }, [
    { path: "", actions: schedule.actions },
    ...schedule.jobs.map(({ name, actions }) => ({ path: `jobs.${name}.`, actions })),
  ]);
  await writeSchedule(tx, id, { ...schedule, now }, ids);
  await deleteJobs(deps, tx, removed, now);
  return stateOf(tx, id, schedule);
}

const idsOf = (jobs: readonly StoredJob[]) => jobs.map((job) => job.id);

async function stateOf(tx: Tx, scheduleId: string, said: ScheduleDefinition): Promise<ScheduleState> {
  const jobs = new Map((await findJobs(tx, { scheduleId })).map((job) => [job.definition.name, job]));
  return {
    schedule: await scheduleOf(tx, scheduleId),
    jobs: said.jobs.flatMap((job) => jobs.get(job.name) ?? []),
  };
}

async function requireSchedule(tx: Tx, name: string): Promise<ScheduleState> {
  const state = await findScheduleState(tx, name);
  if (state === undefined) throw new CarillonError("schedule_not_found", `there is no schedule ${name}`);
  return state;
}

async function refuseForeignJobs(tx: Tx, scheduleId: string, jobs: readonly JobDefinition[]): Promise<void> {
  const foreign = await findJobs(tx, {
    name: { in: jobs.map((j) => j.name) },
    scheduleId: { not: scheduleId },
  });
  if (foreign.length === 0) return;
  throw new CarillonError(
    "job_exists",
    "a job's name is unique over all schedules: rename the job, or delete it there first",
    foreign.map(({ definition: { name, schedule } }) => ({
      path: `jobs.${name}`,
      message: `is in schedule ${schedule}`,
    })),
  );
}
