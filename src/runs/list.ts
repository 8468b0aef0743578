/** Lists the runs that match a filter, newest first. */
import { jobsNamed, requireKnownJobs } from "../jobs/find.ts";
import type { Database, Tx } from "../postgres/client.ts";
import { Prisma } from "../postgres/generated/client.ts";
import { idRange, type TimeRange } from "../postgres/ids.ts";
import { type RunSummary, SUMMARY } from "./read.ts";
import type { RunState, Trigger } from "./rules/states.ts";

/** Lists runs, newest first. Throws job_not_found for a name that no job has ever had. */
export async function readRuns(db: Database, filter: RunFilter, page: RunPage): Promise<RunSummary[]> {
  const runs = await listRuns(db.prisma, filter, page);
  if (runs.length === 0) await requireKnownJobs(db.prisma, filter.jobs);
  return runs;
}

/** Selects runs: every field must match, with any one of its values. */
export interface RunFilter extends TimeRange {
  /** Names of jobs, deleted ones included. */
  jobs?: readonly string[] | undefined;
  schedules?: readonly string[] | undefined;
  states?: readonly RunState[] | undefined;
  statuses?: readonly number[] | undefined;
  triggeredBy?: readonly string[] | undefined;
  triggers?: readonly Trigger[] | undefined;
  /** Labels of the revision that ran; all of them must match. */
  labels?: readonly (readonly [name: string, value: string])[] | undefined;
}

/** A page of the list: the runs older than `beforeId`, or the newest runs without it. */
export interface RunPage {
  beforeId?: string | undefined;
  limit: number;
}

/** Reads a page of runs, newest first. */
async function listRuns(tx: Tx, filter: RunFilter, page: RunPage): Promise<RunSummary[]> {
  const jobIds = filter.jobs && (await jobsNamed(tx, filter.jobs)).map(({ id }) => id);
  const ids = await tx.$queryRaw<{ id: string }[]>(runIds(filter, jobIds, page));
  return tx.run.findMany({
    where: { id: { in: ids.map(({ id }) => id) } },
    include: SUMMARY,
    orderBy: { id: "desc" },
  });
}

/**
 * The query for the ids of a page. It reads the index once for each job, or for each state, starting at the newest run.
 * A single IN over several jobs would read and sort all their runs.
 */
export function runIds(filter: RunFilter, jobIds: readonly string[] | undefined, page: RunPage): Prisma.Sql {
  const { wanted, order, is } = sourceOf(filter, jobIds);
  const conditions = Prisma.join([...is, ...conditionsOf(filter, page)], " AND ");
  return Prisma.sql`
    SELECT newest.id FROM ${wanted} CROSS JOIN LATERAL (
      SELECT run.id FROM run WHERE ${conditions} ORDER BY ${order} run.id DESC LIMIT ${page.limit}
    ) AS newest ORDER BY newest.id DESC LIMIT ${page.limit}`;
}

/**
 * The jobs or states to read from the index, and the order. With a plain `=`, Postgres may search the newest runs of
 * all jobs for matches; for a job that has not run for a long time this scans the whole history. ANY together with the
 * order prevents that.
 */
function sourceOf({ states }: RunFilter, jobIds: readonly string[] | undefined) {
  const inStates = states && [...new Set(states)];
  if (jobIds !== undefined) {
    const is = [Prisma.sql`run.job_id = ANY(ARRAY[wanted.job_id])`];
    if (inStates !== undefined) is.push(Prisma.sql`run.state = ANY(${inStates}::run_state[])`);
    const wanted = Prisma.sql`unnest(${[...jobIds]}::uuid[]) AS wanted (job_id)`;
    return { wanted, order: Prisma.sql`run.job_id,`, is };
  }
  if (inStates !== undefined) {
    const wanted = Prisma.sql`unnest(${inStates}::run_state[]) AS wanted (state)`;
    return { wanted, order: Prisma.sql`run.state,`, is: [Prisma.sql`run.state = ANY(ARRAY[wanted.state])`] };
  }
  return { wanted: Prisma.sql`(SELECT) AS wanted`, order: Prisma.empty, is: [Prisma.sql`TRUE`] };
}

function conditionsOf(filter: RunFilter, { beforeId }: RunPage): Prisma.Sql[] {
  const { since, until, schedules, statuses, triggeredBy, triggers, labels } = filter;
  const { from, to } = idRange(filter);
  return [
    beforeId && Prisma.sql`run.id < ${beforeId}::uuid`,
    from && Prisma.sql`run.id >= ${from}::uuid`,
    to && Prisma.sql`run.id < ${to}::uuid`,
    since && Prisma.sql`run.triggered_at >= ${since}`,
    until && Prisma.sql`run.triggered_at < ${until}`,
    statuses && Prisma.sql`run.status = ANY(${statuses}::int[])`,
    triggeredBy && Prisma.sql`run.triggered_by = ANY(${triggeredBy}::text[])`,
    triggers && Prisma.sql`run.trigger = ANY(${triggers}::trigger_type[])`,
    schedules &&
      Prisma.sql`run.job_id IN (SELECT j.id FROM job j JOIN schedule s ON s.id = j.schedule_id
        WHERE s.name = ANY(${schedules}::text[]))`,
    labels && Prisma.sql`run.revision_id IN (SELECT id FROM job_revision WHERE ${hasLabels(labels)})`,
  ].filter((condition) => typeof condition === "object");
}

function hasLabels(labels: NonNullable<RunFilter["labels"]>): Prisma.Sql {
  const each = labels.map(
    ([name, value]) => Prisma.sql`labels @> ${JSON.stringify({ [name]: value })}::jsonb`,
  );
  return Prisma.join(each, " AND ");
}
