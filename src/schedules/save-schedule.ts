/** Saves, changes and deletes whole schedules, each in one transaction. */
import { isDeepStrictEqual } from "node:util";
import { audit } from "../access/audit.ts";
import type { Caller } from "../access/rules/grants.ts";
import { CarillonError } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { findJobs, jobsOfSchedule, type StoredJob } from "../jobs/find.ts";
import { lockJobs } from "../jobs/locks.ts";
import { changedScheduleFields } from "../jobs/rules/changes.ts";
import type { JobDefinition, ScheduleDefinition } from "../jobs/rules/definition.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import type { Queue } from "../queue/queue.ts";
import { findScheduleState, type ScheduleState } from "./read.ts";
import { deleteJobs, type SaveOptions, save, saveJobs } from "./save.ts";
import { ensureSchedule, hideSchedule, scheduleOf, writeSchedule } from "./schedule-rows.ts";
import { markDeleted } from "./write-revisions.ts";

/** A schedule before and after a save. The jobs of `after` are in the order of the document. */
export interface SavedSchedule {
  before: ScheduleState | undefined;
  after: ScheduleState;
}

/**
 * Saves a schedule: creates, updates and deletes its jobs to match the document. Throws invalid_document, job_exists,
 * job_in_use.
 */
export async function putSchedule(
  infra: Infra,
  caller: Caller,
  schedule: ScheduleDefinition,
  options: SaveOptions = {},
): Promise<SavedSchedule> {
  return save(infra, options, async (tx) => {
    const before = await findScheduleState(tx, schedule.name);
    const after = await writeScheduleAndJobs(infra.queue, tx, schedule, before?.jobs ?? []);
    await auditSave(tx, caller, before, after);
    return { before, after };
  });
}

/** Replaces a schedule by the result of `edit`. Throws schedule_not_found, and the errors of putSchedule and `edit`. */
export async function editSchedule(
  infra: Infra,
  caller: Caller,
  name: string,
  edit: (before: ScheduleState) => ScheduleDefinition,
  options: SaveOptions = {},
): Promise<SavedSchedule> {
  return save(infra, options, async (tx) => {
    const before = await requireSchedule(tx, name);
    const after = await writeScheduleAndJobs(infra.queue, tx, edit(before), before.jobs);
    await auditSave(tx, caller, before, after);
    return { before, after };
  });
}

/** Deletes a schedule with its jobs. Throws schedule_not_found, job_in_use when another schedule triggers one. */
export async function deleteSchedule(infra: Infra, caller: Caller, name: string): Promise<void> {
  await save(infra, {}, async (tx) => {
    const { schedule, jobs } = await requireSchedule(tx, name);
    const now = await databaseNow(tx);
    await lockJobs(tx, { ids: idsOf(jobs) });
    // First, so that its own actions do not block the deletion of its jobs.
    await hideSchedule(tx, schedule, now);
    await deleteJobs(infra.queue, tx, jobs, now);
    await audit(tx, caller, "schedule.delete", name, { deleted: namesOf(jobs) });
  });
}

async function auditSave(
  tx: Tx,
  caller: Caller,
  before: ScheduleState | undefined,
  after: ScheduleState,
): Promise<void> {
  const old = new Map(before?.jobs.map((job) => [job.definition.name, job]));
  const kept = new Set(namesOf(after.jobs));
  const updated = after.jobs.filter((job) => {
    const was = old.get(job.definition.name);
    return was !== undefined && was.revisionId !== job.revisionId;
  });
  await audit(tx, caller, "schedule.save", after.schedule.name, {
    fields: changedScheduleFields(before?.schedule ?? NO_SETTINGS, after.schedule),
    created: namesOf(after.jobs).filter((name) => !old.has(name)),
    updated: namesOf(updated),
    deleted: namesOf(before?.jobs ?? []).filter((name) => !kept.has(name)),
  });
}

/** The settings of a schedule that does not exist. */
const NO_SETTINGS = { tzLocation: null, logRetentionMs: null, actions: [] };

/** Makes a schedule and its jobs match the document; `jobs` are its current jobs. */
async function writeScheduleAndJobs(
  queue: Queue,
  tx: Tx,
  schedule: ScheduleDefinition,
  jobs: readonly StoredJob[],
): Promise<ScheduleState> {
  const now = await databaseNow(tx);
  await lockJobs(tx, { ids: idsOf(jobs) });
  const { id } = await ensureSchedule(tx, schedule.name, now);
  await refuseForeignJobs(tx, id, schedule.jobs);
  const kept = new Set(schedule.jobs.map((job) => job.name));
  const removed = jobs.filter((job) => !kept.has(job.definition.name));
  // First, so that the remaining jobs cannot refer to the removed ones.
  await markDeleted(tx, idsOf(removed), now);
  const before = new Map(jobs.map((job) => [job.definition.name, job]));
  const ids = await saveJobs(queue, tx, { scheduleId: id, jobs: schedule.jobs, before, now }, [
    { path: "", actions: schedule.actions },
    ...schedule.jobs.map((job) => ({ path: `jobs.${job.name}.`, ...job })),
  ]);
  if (!(await hasSettings(tx, id, schedule))) await writeSchedule(tx, id, { ...schedule, now }, ids);
  await deleteJobs(queue, tx, removed, now);
  return stateOf(tx, id, schedule);
}

const idsOf = (jobs: readonly StoredJob[]) => jobs.map((job) => job.id);
const namesOf = (jobs: readonly StoredJob[]) => jobs.map((job) => job.definition.name);

/** Whether a schedule has these settings already. It is then not written, so that the slots of its jobs go on. */
async function hasSettings(tx: Tx, id: string, document: ScheduleDefinition): Promise<boolean> {
  const { tzLocation, logRetentionMs, actions } = await scheduleOf(tx, id);
  const current = { tzLocation, logRetentionMs, actions };
  return isDeepStrictEqual(current, {
    tzLocation: document.tzLocation,
    logRetentionMs: document.logRetentionMs,
    actions: document.actions,
  });
}

async function stateOf(tx: Tx, scheduleId: string, document: ScheduleDefinition): Promise<ScheduleState> {
  const jobs = new Map((await jobsOfSchedule(tx, scheduleId)).map((job) => [job.definition.name, job]));
  return {
    schedule: await scheduleOf(tx, scheduleId),
    jobs: document.jobs.flatMap((job) => jobs.get(job.name) ?? []),
  };
}

async function requireSchedule(tx: Tx, name: string): Promise<ScheduleState> {
  const state = await findScheduleState(tx, name);
  if (state === undefined) throw new CarillonError("schedule_not_found", `There is no schedule ${name}.`);
  return state;
}

async function refuseForeignJobs(tx: Tx, scheduleId: string, jobs: readonly JobDefinition[]): Promise<void> {
  const found = await findJobs(
    tx,
    jobs.map((job) => job.name),
  );
  const foreign = found.filter((job) => job.scheduleId !== scheduleId);
  if (foreign.length === 0) return;
  throw new CarillonError(
    "job_exists",
    "The name of a job is unique over all schedules: rename the job, or delete it in the other schedule first.",
    foreign.map(({ definition: { name, schedule } }) => ({
      path: `jobs.${name}`,
      message: `is in schedule ${schedule}`,
    })),
  );
}
