/** How definitions are saved: one writer at a time, and the whole is checked before it is committed. */
import { isDeepStrictEqual } from "node:util";
import { findCycle } from "../core/chain.ts";
import { CarillonError, type FieldError, invalidDocument } from "../core/errors.ts";
import type { EventAction, JobDefinition } from "../core/job.ts";
import { databaseNow } from "../db/client.ts";
import * as definitions from "../db/definitions.ts";
import { checkedEdges, liveJobIds, whoTriggers } from "../db/targets.ts";
import { cancelRunsOfJobs } from "./cancel-run.ts";
import type { Deps, Tx } from "./deps.ts";
import { releaseWaiting } from "./release-waiting.ts";

export interface SaveOptions {
  /** Do all of it, say what came of it, and take it back. */
  dryRun?: boolean | undefined;
}

/** Carries the result of a dry run out of its transaction. */
class TakenBack extends Error {
  readonly result: unknown;

  constructor(result: unknown) {
    super("a dry run is taken back");
    this.result = result;
  }
}

/** One transaction that is alone in writing definitions. Throws invalid_document when jobs run in a circle. */
export async function save<T>(
  deps: Deps,
  { dryRun = false }: SaveOptions,
  work: (tx: Tx) => Promise<T>,
): Promise<T> {
  try {
    return await deps.db.transaction(async (tx) => {
      await definitions.lockDefinitions(tx);
      const result = await work(tx);
      refuseCycle(findCycle(await checkedEdges(tx)));
      if (dryRun) throw new TakenBack(result);
      return result;
    });
  } catch (error) {
    if (error instanceof TakenBack) return error.result as T;
    throw error;
  }
}

/** Rows for the jobs that have none, so that they can name each other; answers the ids of all of them. */
export async function insertMissing(
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

/**
 * Writes a revision unless the job says and is all this already.
 * @param path where the job stands in the document, such as `jobs.coffee.`
 */
export async function writeIfChanged(
  deps: Deps,
  tx: Tx,
  job: { definition: JobDefinition; scheduleId: string; before: definitions.StoredJob | undefined },
  ids: ReadonlyMap<string, string>,
  path: string,
): Promise<void> {
  const { definition, scheduleId, before } = job;
  const targets = await targetIds(tx, path, definition.actions, ids);
  const same =
    before?.scheduleId === scheduleId &&
    isDeepStrictEqual({ ...before.definition, schedule: null }, { ...definition, schedule: null });
  if (same) return;
  const id = ids.get(definition.name);
  if (id === undefined) throw new Error(`job ${definition.name} has no row`);
  const revision = { id, scheduleId, number: (before?.revision ?? 0) + 1, now: await databaseNow(tx) };
  await definitions.writeRevision(tx, revision, definition, targets);
  if (before !== undefined) await releaseWaiting(deps, tx, id);
}

/** Ids of the jobs that actions trigger. Throws invalid_document for names that do not exist. */
export async function targetIds(
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

/** Hides jobs and cancels their waiting runs. Throws job_in_use when what stays triggers one of them. */
export async function deleteJobs(deps: Deps, tx: Tx, jobs: readonly definitions.StoredJob[]): Promise<void> {
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

function refuseCycle(cycle: readonly string[] | undefined): void {
  if (cycle === undefined) return;
  const message =
    `these jobs would trigger each other in a circle: ${cycle.join(" -> ")}; ` +
    "where that is meant, one of them says allow_cycle: true";
  throw invalidDocument([{ path: "trigger_job", message }]);
}
