/** Saves definitions: only one transaction at a time writes them, and all checks run before it commits. */
import { isDeepStrictEqual } from "node:util";
import { requireSecrets } from "../access/secrets.ts";
import { CarillonError } from "../errors.ts";
import type { Infra } from "../infra.ts";
import type { StoredJob } from "../jobs/find.ts";
import { lockDefinitions } from "../jobs/locks.ts";
import { findCycle } from "../jobs/rules/chains.ts";
import type { JobDefinition } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import type { Queue } from "../queue/queue.ts";
import { cancelRunsOfJobs } from "../runs/cancel.ts";
import { releaseWaiting } from "../runs/release.ts";
import {
  checkedEdges,
  type DocumentPart,
  findReferredJobs,
  findTriggerOwners,
  refuseCycle,
  secretReferences,
} from "./check.ts";
import { insertJobs, markDeleted, writeRevisions } from "./write-revisions.ts";

export interface SaveOptions {
  /** Run the save and return its result, but roll it back. */
  dryRun?: boolean | undefined;
}

/** Carries the result of a dry run out of its transaction. */
class DryRunResult extends Error {
  readonly result: unknown;

  constructor(result: unknown) {
    super("a dry run is rolled back");
    this.result = result;
  }
}

/** Runs a transaction that no other save of definitions overlaps. Throws invalid_document for a cycle of triggers. */
export async function save<T>(
  infra: Infra,
  { dryRun = false }: SaveOptions,
  work: (tx: Tx) => Promise<T>,
): Promise<T> {
  try {
    return await transactionWithPools(infra, async (tx) => {
      await lockDefinitions(tx);
      const result = await work(tx);
      refuseCycle(findCycle(await checkedEdges(tx)));
      if (dryRun) throw new DryRunResult(result);
      return result;
    });
  } catch (error) {
    if (error instanceof DryRunResult) return error.result as T;
    throw error;
  }
}

/** Jobs use pools that have no queue yet. Queues cannot be created while the transaction is open. */
class MissingPools extends Error {
  readonly pools: readonly string[];

  constructor(pools: readonly string[]) {
    super(`no queues yet for the pools ${pools.join(", ")}`);
    this.pools = pools;
  }
}

async function transactionWithPools<T>(infra: Infra, work: (tx: Tx) => Promise<T>): Promise<T> {
  try {
    return await infra.db.transactionInTurn(work);
  } catch (error) {
    if (!(error instanceof MissingPools)) throw error;
    await infra.queue.openPools(error.pools);
    return transactionWithPools(infra, work);
  }
}

/** The jobs of one schedule to save; `before` holds the current versions by name. */
export interface JobSave {
  scheduleId: string;
  jobs: readonly JobDefinition[];
  before: ReadonlyMap<string, StoredJob>;
  now: Date;
}

/**
 * Writes a new revision of each job that has changed. Lock the existing jobs before the call. Returns the ids of the
 * jobs and of all jobs that their actions trigger. Throws invalid_document when a job or secret does not exist.
 */
export async function saveJobs(
  queue: Queue,
  tx: Tx,
  jobSave: JobSave,
  parts: readonly DocumentPart[],
): Promise<Map<string, string>> {
  const { scheduleId, jobs, before, now } = jobSave;
  const unopened = jobs.flatMap(({ pool }) => (queue.hasPool(pool) ? [] : [pool]));
  if (unopened.length > 0) throw new MissingPools(unopened);
  const missing = jobs.flatMap(({ name }) => (before.has(name) ? [] : [name]));
  await requireSecrets(tx, parts.flatMap(secretReferences));
  // New jobs are inserted first, so that they can refer to each other.
  await insertJobs(tx, scheduleId, missing, now);
  const ids = await findReferredJobs(tx, jobs, parts);
  const changed = jobs.filter((job) => !isSame(before.get(job.name), job, scheduleId));
  const revisions = changed.map((definition) => ({
    jobId: required(ids, definition.name),
    number: (before.get(definition.name)?.revision ?? 0) + 1,
    definition,
  }));
  await writeRevisions(tx, scheduleId, revisions, ids, now);
  for (const { jobId, definition } of revisions) {
    const was = before.get(definition.name)?.definition.concurrency;
    if (was && was.limit !== definition.concurrency.limit) await releaseWaiting(queue, tx, jobId);
  }
  return ids;
}

function isSame(before: StoredJob | undefined, definition: JobDefinition, scheduleId: string): boolean {
  return (
    before?.scheduleId === scheduleId &&
    isDeepStrictEqual({ ...before.definition, schedule: null }, { ...definition, schedule: null })
  );
}

function required(ids: ReadonlyMap<string, string>, name: string): string {
  const id = ids.get(name);
  if (id === undefined) throw new Error(`job ${name} has no row`);
  return id;
}

/**
 * Deletes jobs: hides them, and cancels their waiting runs. Throws job_in_use when another job or schedule triggers one
 * of them.
 */
export async function deleteJobs(queue: Queue, tx: Tx, jobs: readonly StoredJob[], now: Date): Promise<void> {
  const ids = jobs.map((job) => job.id);
  await markDeleted(tx, ids, now);
  const users = Map.groupBy(await findTriggerOwners(tx, ids), ({ jobId }) => jobId);
  for (const { id, definition } of jobs) {
    const by = users.get(id)?.map((user) => user.by);
    if (by === undefined) continue;
    throw new CarillonError(
      "job_in_use",
      `The job ${definition.name} is triggered by ${by.join(", ")}: remove that action first.`,
    );
  }
  await cancelRunsOfJobs(queue, tx, ids);
}
