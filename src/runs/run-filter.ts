/** The filter of a list of runs, and its conditions in SQL. */
import { Prisma } from "../postgres/generated/client.ts";
import type { TimeRange } from "../postgres/ids.ts";
import type { RunState, Trigger } from "./rules/states.ts";

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
  labels?: Labels | undefined;
}

export type Labels = readonly (readonly [name: string, value: string])[];

/** The conditions on columns of the run; those that the filter lacks are undefined. */
export function conditionsOf(filter: RunFilter) {
  const { since, until, states, statuses, triggeredBy, triggers } = filter;
  return [
    since && Prisma.sql`run.triggered_at >= ${since}`,
    until && Prisma.sql`run.triggered_at < ${until}`,
    states && Prisma.sql`run.state = ANY(${[...states]}::run_state[])`,
    statuses && Prisma.sql`run.status = ANY(${[...statuses]}::int[])`,
    triggeredBy && Prisma.sql`run.triggered_by = ANY(${[...triggeredBy]}::text[])`,
    triggers && Prisma.sql`run.trigger = ANY(${[...triggers]}::trigger_type[])`,
  ];
}

/** @param jobIds the jobs of the schedules, if they are known */
export function scheduleCondition(
  names: readonly string[],
  jobIds: readonly string[] | undefined,
): Prisma.Sql {
  if (jobIds !== undefined) return Prisma.sql`run.job_id = ANY(${[...jobIds]}::uuid[])`;
  return Prisma.sql`run.job_id IN (SELECT j.id FROM job j JOIN schedule s ON s.id = j.schedule_id
    WHERE s.name = ANY(${[...names]}::text[]))`;
}

/** @param revisionIds the revisions with the labels, if they are known */
export function labelCondition(labels: Labels, revisionIds: readonly string[] | undefined): Prisma.Sql {
  if (revisionIds !== undefined) return Prisma.sql`run.revision_id = ANY(${[...revisionIds]}::uuid[])`;
  return Prisma.sql`run.revision_id IN (SELECT id FROM job_revision WHERE ${hasLabels(labels)})`;
}

/** The condition on a revision. */
export function hasLabels(labels: Labels): Prisma.Sql {
  const each = labels.map(
    ([name, value]) => Prisma.sql`labels @> ${JSON.stringify({ [name]: value })}::jsonb`,
  );
  return Prisma.join(each, " AND ");
}
