/** Lists the runs that match a filter, newest first. */
import { jobsNamed, requireKnownJobs } from "../jobs/find.ts";
import type { Database, Tx } from "../postgres/client.ts";
import { Prisma } from "../postgres/generated/client.ts";
import { idRange } from "../postgres/ids.ts";
import { findNewest, type Search, type SearchPath } from "../postgres/newest-first.ts";
import { type RunSummary, SUMMARY } from "./read.ts";
import {
  conditionsOf,
  hasLabels,
  type Labels,
  labelCondition,
  type RunFilter,
  scheduleCondition,
} from "./run-filter.ts";
import { runPaths } from "./run-paths.ts";

/**
 * Lists runs, newest first. `stoppedAt`: the search for rare runs stopped at this id, and older ones may follow.
 * Throws job_not_found for a name that no job has ever had.
 */
export async function readRuns(
  db: Database,
  filter: RunFilter,
  page: RunPage,
): Promise<{ runs: RunSummary[]; stoppedAt: string | undefined }> {
  const { search, paths } = await runSearch(db.prisma, filter, page);
  const { ids, stoppedAt } = await findNewest(db.prisma, search, paths);
  if (ids.length === 0) await requireKnownJobs(db.prisma, filter.jobs);
  const runs = await db.prisma.run.findMany({
    where: { id: { in: ids } },
    include: SUMMARY,
    orderBy: { id: "desc" },
  });
  return { runs, stoppedAt };
}

/** A page of the list: the runs older than `beforeId`, or the newest runs without it. */
export interface RunPage {
  beforeId?: string | undefined;
  limit: number;
}

/** The search for the runs of a page, and the ways to do it. Exported for tests of its plans. */
export async function runSearch(
  tx: Tx,
  filter: RunFilter,
  { beforeId, limit }: RunPage,
): Promise<{ search: Search; paths: SearchPath[] }> {
  const { jobs, schedules, labels } = filter;
  const jobIds = jobs && (await jobsNamed(tx, jobs)).map(({ id }) => id);
  const ofSchedules = schedules && (await jobsOfSchedules(tx, schedules));
  const labelled = labels && (await revisionsWith(tx, labels));
  const conditions = [
    ...conditionsOf(filter),
    jobIds && Prisma.sql`run.job_id = ANY(${jobIds}::uuid[])`,
    schedules && scheduleCondition(schedules, ofSchedules),
    labels &&
      labelCondition(
        labels,
        labelled?.map(({ id }) => id),
      ),
  ].filter((condition) => typeof condition === "object");
  const search = {
    table: Prisma.sql`run`,
    ids: { before: beforeId, ...idRange(filter) },
    ...{ conditions, limit },
  };
  const ofLabels = labelled && [...new Set(labelled.map(({ jobId }) => jobId))];
  return { search, paths: runPaths(filter, jobIds ?? ofSchedules ?? ofLabels) };
}

/** A filter that selects more jobs or revisions than this does not search job by job. */
const MOST_JOBS = 200;

/** The jobs of schedules; undefined when there are too many. */
async function jobsOfSchedules(tx: Tx, names: readonly string[]): Promise<string[] | undefined> {
  const jobs = await tx.job.findMany({
    where: { schedule: { name: { in: [...names] } } },
    select: { id: true },
    take: MOST_JOBS + 1,
  });
  return jobs.length > MOST_JOBS ? undefined : jobs.map(({ id }) => id);
}

/** The revisions with all these labels; undefined when there are too many. */
async function revisionsWith(tx: Tx, labels: Labels): Promise<{ id: string; jobId: string }[] | undefined> {
  const revisions = await tx.$queryRaw<{ id: string; jobId: string }[]>`
    SELECT id, job_id AS "jobId" FROM job_revision WHERE ${hasLabels(labels)} LIMIT ${MOST_JOBS + 1}`;
  return revisions.length > MOST_JOBS ? undefined : revisions;
}
