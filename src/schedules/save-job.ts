/** Saves, changes and deletes single jobs. */
import { audit } from "../access/audit.ts";
import type { Deps } from "../deps.ts";
import { CarillonError } from "../errors.ts";
import { findJob, requireJob, type StoredJob } from "../jobs/find.ts";
import { lockFully } from "../jobs/locks.ts";
import { changedJobFields } from "../jobs/rules/changes.ts";
import { DEFAULT_SCHEDULE, type JobDefinition } from "../jobs/rules/definition.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import { deleteJobs, type SaveOptions, save, saveJobs } from "./save.ts";
import { ensureSchedule } from "./schedule-rows.ts";

/** A job as it is now and, where it was there, as it was before. */
export interface SavedJob {
  before: StoredJob | undefined;
  job: StoredJob;
}

/** Saves a new job. Throws job_exists, invalid_document. */
export async function createJob(deps: Deps, job: JobDefinition): Promise<StoredJob> {
  return save(deps, {}, async (tx) => {
    if (await findJob(tx, job.name)) {
      throw new CarillonError(
        "job_exists",
        `a job ${job.name} exists already: PUT /api/v1/jobs/${job.name} replaces it`,
      );
    }
    return saveJob(deps, tx, job, undefined);
  });
}

/** Saves a job whether or not there is one of its name. Throws invalid_document. */
export async function putJob(
  deps: Deps,
  definition: JobDefinition,
  options: SaveOptions = {},
): Promise<SavedJob> {
  return save(deps, options, async (tx) => {
    const before = await findJob(tx, definition.name);
    return { before, job: await saveJob(deps, tx, definition, before) };
  });
}

/** Saves what `edit` makes of a job. Throws job_not_found, invalid_document, and what `edit` throws. */
export async function editJob(
  deps: Deps,
  name: string,
  edit: (before: StoredJob) => JobDefinition,
  options: SaveOptions = {},
): Promise<SavedJob> {
  return save(deps, options, async (tx) => {
    const before = await requireJob(tx, name);
    return { before, job: await saveJob(deps, tx, edit(before), before) };
  });
}

/** Hides a job and cancels its waiting runs. Throws job_not_found, job_in_use. */
export async function deleteJob(deps: Deps, name: string): Promise<void> {
  await save(deps, {}, async (tx) => {
    const job = await requireJob(tx, name);
    await lockFully(tx, [job.id]);
    await deleteJobs(deps, tx, [job], await databaseNow(tx));
    await audit(tx, deps.caller, "job.delete", name);
  });
}

async function saveJob(
  deps: Deps,
  tx: Tx,
  definition: JobDefinition,
  before: StoredJob | undefined,
): Promise<StoredJob> {
  const { name } = definition;
  const schedule = definition.schedule ?? before?.definition.schedule ?? DEFAULT_SCHEDULE;
  const now = await databaseNow(tx);
  if (before !== undefined) await lockFully(tx, [before.id]);
  const { id: scheduleId } = await ensureSchedule(tx, schedule, now);
  const saving = { scheduleId, jobs: [definition], before: new Map(before && [[name, before]]), now };
  await saveJobs(deps, tx, saving, [{ path: "", ...definition }]);
  const job = await requireJob(tx, name);
  const changes =
    before === undefined
      ? { created: true, schedule }
      : { fields: changedJobFields(before.definition, job.definition) };
  await audit(tx, deps.caller, "job.save", name, changes);
  return job;
}
