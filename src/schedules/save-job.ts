/** Saves, changes and deletes single jobs. */
import { audit } from "../access/audit.ts";
import type { Caller } from "../access/rules/grants.ts";
import { CarillonError } from "../errors.ts";
import type { Infra } from "../infra.ts";
import { findJob, requireJob, type StoredJob } from "../jobs/find.ts";
import { lockJobs } from "../jobs/locks.ts";
import { changedJobFields } from "../jobs/rules/changes.ts";
import { DEFAULT_SCHEDULE, type JobDefinition } from "../jobs/rules/definition.ts";
import { databaseNow, type Tx } from "../postgres/client.ts";
import type { Queue } from "../queue/queue.ts";
import { deleteJobs, type SaveOptions, save, saveJobs } from "./save.ts";
import { ensureSchedule } from "./schedule-rows.ts";

/** A job before and after a save; `before` is undefined for a new job. */
export interface SavedJob {
  before: StoredJob | undefined;
  job: StoredJob;
}

/** Creates a job. Throws job_exists, invalid_document. */
export async function createJob(infra: Infra, caller: Caller, job: JobDefinition): Promise<StoredJob> {
  return save(infra, {}, async (tx) => {
    if (await findJob(tx, job.name)) {
      throw new CarillonError(
        "job_exists",
        `The job ${job.name} already exists: PUT /api/v1/jobs/${job.name} replaces it.`,
      );
    }
    return saveJob(infra.queue, tx, caller, job, undefined);
  });
}

/** Creates or replaces a job. Throws invalid_document. */
export async function putJob(
  infra: Infra,
  caller: Caller,
  definition: JobDefinition,
  options: SaveOptions = {},
): Promise<SavedJob> {
  return save(infra, options, async (tx) => {
    const before = await findJob(tx, definition.name);
    return { before, job: await saveJob(infra.queue, tx, caller, definition, before) };
  });
}

/** Replaces a job by the result of `edit`. Throws job_not_found, invalid_document, and the errors of `edit`. */
export async function editJob(
  infra: Infra,
  caller: Caller,
  name: string,
  edit: (before: StoredJob) => JobDefinition,
  options: SaveOptions = {},
): Promise<SavedJob> {
  return save(infra, options, async (tx) => {
    const before = await requireJob(tx, name);
    return { before, job: await saveJob(infra.queue, tx, caller, edit(before), before) };
  });
}

/** Deletes a job: hides it, and cancels its waiting runs. Throws job_not_found, job_in_use. */
export async function deleteJob(infra: Infra, caller: Caller, name: string): Promise<void> {
  await save(infra, {}, async (tx) => {
    const job = await requireJob(tx, name);
    await lockJobs(tx, { ids: [job.id] });
    await deleteJobs(infra.queue, tx, [job], await databaseNow(tx));
    await audit(tx, caller, "job.delete", name);
  });
}

async function saveJob(
  queue: Queue,
  tx: Tx,
  caller: Caller,
  definition: JobDefinition,
  before: StoredJob | undefined,
): Promise<StoredJob> {
  const { name } = definition;
  const schedule = definition.schedule ?? before?.definition.schedule ?? DEFAULT_SCHEDULE;
  const now = await databaseNow(tx);
  if (before !== undefined) await lockJobs(tx, { ids: [before.id] });
  const { id: scheduleId } = await ensureSchedule(tx, schedule, now);
  const jobSave = { scheduleId, jobs: [definition], before: new Map(before && [[name, before]]), now };
  await saveJobs(queue, tx, jobSave, [{ path: "", ...definition }]);
  const job = await requireJob(tx, name);
  const changes =
    before === undefined
      ? { created: true, schedule }
      : { fields: changedJobFields(before.definition, job.definition) };
  await audit(tx, caller, "job.save", name, changes);
  return job;
}
