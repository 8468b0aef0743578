/** Saves, replaces and deletes jobs and schedules; what is saved is whole and free of cycles, or nothing is. */
import { isDeepStrictEqual } from "node:util";
import { findCycle } from "../core/chain.ts";
import { CarillonError, type FieldError, invalidDocument } from "../core/errors.ts";
import {
  DEFAULT_SCHEDULE,
  type EventAction,
  type JobDefinition,
  type ScheduleDefinition,
} from "../core/job.ts";
import { databaseNow } from "../db/client.ts";
import * as definitions from "../db/definitions.ts";
import { liveJobIds, triggerEdges, whoTriggers } from "../db/targets.ts";
import { cancelRunsOfJobs } from "./cancel-run.ts";
import type { Deps, Tx } from "./deps.ts";
import { releaseWaiting } from "./release-waiting.ts";

/** Names of jobs by what a save did to them. */
export interface Changes {
  created: string[];
  updated: string[];
  deleted: string[];
  unchanged: string[];
}

/** Saves a new job. Throws job_exists, invalid_document. */
export async function createJob(deps: Deps, job: JobDefinition): Promise<definitions.StoredJob> {
  return save(deps, async (tx) => {
    if (await definitions.findJob(tx, job.name)) {
      throw new CarillonError(
        "job_exists",
        `a job ${job.name} exists already: PUT /api/v1/jobs/${job.name} replaces it`,
      );
    }
    return saveJob(deps, tx, job);
  });
}

/** Saves a job whether or not there is one of its name. Throws invalid_document. */
export async function putJob(
  deps: Deps,
  job: JobDefinition,
): Promise<{ job: definitions.StoredJob; created: boolean }> {
  return save(deps, async (tx) => {
    const before = await definitions.findJob(tx, job.name);
    return { job: await saveJob(deps, tx, job), created: before === undefined };
  });
}

/** Hides a job and cancels its waiting runs. Throws job_not_found, job_in_use. */
export async function deleteJob(deps: Deps, name: string): Promise<void> {
  await save(deps, async (tx) => {
    const job = await definitions.findJob(tx, name);
    if (job === undefined) throw new CarillonError("job_not_found", `there is no job ${name}`);
    await deleteJobs(deps, tx, [job]);
  });
}

/** Makes the database equal to the document. Throws invalid_document, job_exists, job_in_use. */
export async function putSchedule(deps: Deps, schedule: ScheduleDefinition): Promise<Changes> {
  return save(deps, async (tx) => {
    const { id } = await definitions.ensureSchedule(tx, schedule.name);
    await refuseForeignJobs(tx, id, schedule.jobs);
    const before = new Map(
      (await definitions.findJobs(tx, { scheduleId: id })).map((job) => [job.definition.name, job]),
    );
    const kept = new Set(schedule.jobs.map((job) => job.name));
    const removed = [...before.values()].filter((job) => !kept.has(job.definition.name));
    const changes: Changes = {
      created: [],
      updated: [],
      unchanged: [],
      deleted: removed.map((j) => j.definition.name),
    };

    await definitions.markDeleted(
      tx,
      removed.map((job) => job.id),
      await databaseNow(tx),
    );
    const ids = await insertMissing(tx, id, schedule.jobs, before);
    for (const job of schedule.jobs) {
      const changed = await writeIfChanged(deps, tx, id, job, before.get(job.name), ids);
      changes[before.has(job.name) ? (changed ? "updated" : "unchanged") : "created"].push(job.name);
    }
    const said = { ...schedule, now: await databaseNow(tx) };
    await definitions.writeSchedule(tx, id, said, await targetIds(tx, "", schedule.actions, ids));
    await deleteJobs(deps, tx, removed);
    return changes;
  });
}

/** One transaction that is alone in writing definitions, and checks the whole before it commits. */
async function save<T>(deps: Deps, work: (tx: Tx) => Promise<T>): Promise<T> {
  return deps.db.transaction(async (tx) => {
    await definitions.lockDefinitions(tx);
    const result = await work(tx);
    const cycle = findCycle(await triggerEdges(tx));
    if (cycle !== undefined) {
      const message = `these jobs would trigger each other in a circle: ${cycle.join(" -> ")}`;
      throw invalidDocument([{ path: "trigger_job", message }]);
    }
    return result;
  });
}

async function saveJob(deps: Deps, tx: Tx, job: JobDefinition): Promise<definitions.StoredJob> {
  const before = await definitions.findJob(tx, job.name);
  const schedule = job.schedule ?? before?.definition.schedule ?? DEFAULT_SCHEDULE;
  const { id: scheduleId } = await definitions.ensureSchedule(tx, schedule);
  const ids = await insertMissing(tx, scheduleId, [job], new Map(before && [[job.name, before]]));
  await writeIfChanged(deps, tx, scheduleId, job, before, ids, "");
  const saved = await definitions.findJob(tx, job.name);
  if (saved === undefined) throw new Error(`job ${job.name} is not there after it was saved`);
  return saved;
}

/** Rows for the jobs that have none, so that they can name each other; answers the ids of all of them. */
async function insertMissing(
  tx: Tx,
  scheduleId: string,
  jobs: readonly JobDefinition[],
  before: ReadonlyMap<string, definitions.StoredJob>,
): Promise<Map<string, string>> {
  const now = await databaseNow(tx);
  const ids = new Map<string, string>();
  for (const { name } of jobs) {
    ids.set(name, before.get(name)?.id ?? (await definitions.insertJob(tx, { name, scheduleId, now })));
  }
  return ids;
}

async function writeIfChanged(
  deps: Deps,
  tx: Tx,
  scheduleId: string,
  job: JobDefinition,
  before: definitions.StoredJob | undefined,
  ids: ReadonlyMap<string, string>,
  path = `jobs.${job.name}.`,
): Promise<boolean> {
  const targets = await targetIds(tx, path, job.actions, ids);
  const same =
    before?.scheduleId === scheduleId &&
    isDeepStrictEqual({ ...before.definition, schedule: null }, { ...job, schedule: null });
  if (same) return false;
  const id = ids.get(job.name);
  if (id === undefined) throw new Error(`job ${job.name} has no row`);
  const revision = { id, scheduleId, number: (before?.revision ?? 0) + 1, now: await databaseNow(tx) };
  await definitions.writeRevision(tx, revision, job, targets);
  if (before !== undefined) await releaseWaiting(deps, tx, id);
  return true;
}

/** Ids of the jobs that actions trigger. Throws invalid_document for names that do not exist. */
async function targetIds(
  tx: Tx,
  path: string,
  actions: readonly EventAction[],
  known: ReadonlyMap<string, string>,
): Promise<Map<string, string>> {
  const targets = actions.filter((a) => a.action === "trigger_job");
  const live = await liveJobIds(
    tx,
    targets.map((a) => a.target),
  );
  const ids = new Map([...live, ...known]);
  const dangling = targets.filter((a) => !ids.has(a.target));
  if (dangling.length > 0) {
    throw invalidDocument(
      dangling.map(({ event, target }): FieldError => {
        const index = targets.filter((a) => a.event === event).findIndex((a) => a.target === target);
        return { path: `${path}${event}.trigger_job.${index}`, message: `there is no job ${target}` };
      }),
    );
  }
  return ids;
}

async function refuseForeignJobs(tx: Tx, scheduleId: string, jobs: readonly JobDefinition[]): Promise<void> {
  const foreign = await definitions.findJobs(tx, {
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

async function deleteJobs(deps: Deps, tx: Tx, jobs: readonly definitions.StoredJob[]): Promise<void> {
  const ids = jobs.map((job) => job.id);
  await definitions.markDeleted(tx, ids, await databaseNow(tx));
  for (const { id, definition } of jobs) {
    const users = await whoTriggers(tx, id);
    if (users.length > 0) {
      throw new CarillonError(
        "job_in_use",
        `${definition.name} is triggered by ${users.join(", ")}: change that first`,
      );
    }
  }
  await cancelRunsOfJobs(deps, tx, ids);
}
