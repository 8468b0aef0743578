/** Saves, changes and deletes whole schedules; what is saved is whole, or nothing is. */
import { CarillonError } from "../core/errors.ts";
import type { JobDefinition, ScheduleDefinition } from "../core/job.ts";
import { databaseNow } from "../db/client.ts";
import { findJobs, markDeleted } from "../db/definitions.ts";
import { ensureSchedule, scheduleOf, writeSchedule } from "../db/schedules.ts";
import type { Deps, Tx } from "./deps.ts";
import { findScheduleState, type ScheduleState } from "./read-definitions.ts";
import {
  deleteJobs,
  insertMissing,
  type SaveOptions,
  save,
  targetIds,
  writeIfChanged,
} from "./save-definitions.ts";

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
    return { before, after: await writeWhole(deps, tx, schedule) };
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
    return { before, after: await writeWhole(deps, tx, edit(before)) };
  });
}

/** Deletes a schedule with its jobs. Throws schedule_not_found, job_in_use when another schedule triggers one. */
export async function deleteSchedule(deps: Deps, name: string): Promise<void> {
  const nothing = { name, tzLocation: null, logRetentionMs: null, actions: [], jobs: [] };
  await save(deps, {}, async (tx) => {
    await requireSchedule(tx, name);
    await writeWhole(deps, tx, nothing);
  });
}

async function writeWhole(deps: Deps, tx: Tx, schedule: ScheduleDefinition): Promise<ScheduleState> {
  const { id } = await ensureSchedule(tx, schedule.name);
  await refuseForeignJobs(tx, id, schedule.jobs);
  const now = await databaseNow(tx);
  const before = new Map((await findJobs(tx, { scheduleId: id })).map((job) => [job.definition.name, job]));
  const kept = new Set(schedule.jobs.map((job) => job.name));
  const removed = [...before.values()].filter((job) => !kept.has(job.definition.name));
  // First, so that what stays cannot name what goes.
  await markDeleted(
    tx,
    removed.map((job) => job.id),
    now,
  );
  const ids = await insertMissing(tx, id, schedule.jobs, before);
  for (const definition of schedule.jobs) {
    const { name } = definition;
    const job = { definition, scheduleId: id, before: before.get(name) };
    await writeIfChanged(deps, tx, job, ids, `jobs.${name}.`);
  }
  await writeSchedule(tx, id, { ...schedule, now }, await targetIds(tx, "", schedule.actions, ids));
  await deleteJobs(deps, tx, removed);
  return stateOf(tx, id, schedule);
}

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
