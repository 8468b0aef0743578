/** Chooses the indexes in which a list of runs looks for the matches of its filter. */
import { Prisma } from "../postgres/generated/client.ts";
import type { IndexPart, SearchPath } from "../postgres/newest-first.ts";
import { isFinal, RUN_STATES, type RunState } from "./rules/states.ts";
import type { RunFilter } from "./run-filter.ts";

/**
 * The ways to find the runs of a filter, the most selective ones first. The indexes leave out the common values, such
 * as `cron` and `succeeded`: a filter by these alone looks at the newest runs, of which most match.
 * @param jobIds the jobs that the filter allows; undefined when it allows all, or very many
 */
export function runPaths(filter: RunFilter, jobIds: readonly string[] | undefined): SearchPath[] {
  const { statuses, triggeredBy, triggers } = filter;
  const states = possibleStates(filter);
  // No run succeeds with an exit code other than 0: nothing can match.
  if (states?.length === 0) return [[]];
  const rare = statuses !== undefined && !statuses.includes(0) ? statuses : undefined;
  const paths = [
    triggeredBy?.some(isCommon) === false && [byTriggeredBy(triggeredBy)],
    jobIds !== undefined && [...(states === undefined ? [byJob(jobIds)] : byState(states, jobIds))],
    jobIds === undefined && rare !== undefined && [byStatus(rare)],
    jobIds === undefined && rare === undefined && states !== undefined && byState(states, undefined),
    triggers?.some(isCommon) === false && [byTrigger(triggers)],
  ].filter((path) => typeof path === "object");
  return paths.length > 0 ? paths : [[{ is: Prisma.sql`TRUE`, columns: [] }]];
}

/** The callers and triggers that the indexes leave out. */
function isCommon(value: string): boolean {
  return value === "cron" || value === "api";
}

const SUCCEEDED: RunState = "succeeded";
const ACTIVE_STATES = RUN_STATES.filter((state) => !isFinal(state));
/** States of runs that may have an exit code other than 0. */
const WITH_STATUS: readonly RunState[] = ["failed", "cancelled", ...ACTIVE_STATES];

/** The states that matches may have; undefined when these include `succeeded`, which no index of states has. */
function possibleStates({ states, statuses }: RunFilter): RunState[] | undefined {
  const failed = statuses !== undefined && !statuses.includes(0) ? WITH_STATUS : undefined;
  const possible = states === undefined ? failed : states.filter((one) => failed?.includes(one) ?? true);
  return possible === undefined || possible.includes(SUCCEEDED) ? undefined : [...new Set(possible)];
}

/** The active runs of one index, and the ended ones of another. */
function byState(states: readonly RunState[], jobIds: readonly string[] | undefined): SearchPath {
  const ended = states.filter((state) => !ACTIVE_STATES.includes(state));
  const parts = [
    ended.length < states.length && activeRuns(jobIds),
    ended.length > 0 && (jobIds === undefined ? inStates(ended) : ofJobsInStates(jobIds, ended)),
  ];
  return parts.filter((part) => typeof part === "object");
}

function activeRuns(jobIds: readonly string[] | undefined): IndexPart {
  const ofJobs = jobIds && Prisma.sql`AND run.job_id = ANY(${[...jobIds]}::uuid[])`;
  return { is: Prisma.sql`run.ended_as IS NULL ${ofJobs ?? Prisma.empty}`, columns: [], isSmall: true };
}

/** The partial indexes of states need this condition. */
const NOT_SUCCEEDED = Prisma.sql`run.ended_as <> 'succeeded'`;

function inStates(states: readonly RunState[]): IndexPart {
  return {
    wanted: {
      rows: Prisma.sql`unnest(${[...states]}::run_state[]) AS wanted (state)`,
      count: states.length,
    },
    is: Prisma.sql`${NOT_SUCCEEDED} AND run.ended_as = ANY(ARRAY[wanted.state])`,
    columns: [Prisma.sql`run.ended_as`],
  };
}

function ofJobsInStates(jobIds: readonly string[], states: readonly RunState[]): IndexPart {
  return {
    wanted: {
      rows: Prisma.sql`(SELECT job_id, state FROM unnest(${[...jobIds]}::uuid[]) AS job_id
        CROSS JOIN unnest(${[...states]}::run_state[]) AS state) AS wanted`,
      count: jobIds.length * states.length,
    },
    is: Prisma.sql`${NOT_SUCCEEDED} AND run.job_id = ANY(ARRAY[wanted.job_id]) AND run.ended_as = wanted.state`,
    columns: [Prisma.sql`run.job_id`, Prisma.sql`run.ended_as`],
  };
}

function byJob(jobIds: readonly string[]): IndexPart {
  return {
    wanted: { rows: Prisma.sql`unnest(${[...jobIds]}::uuid[]) AS wanted (job_id)`, count: jobIds.length },
    is: Prisma.sql`run.job_id = ANY(ARRAY[wanted.job_id])`,
    columns: [Prisma.sql`run.job_id`],
  };
}

function byStatus(statuses: readonly number[]): IndexPart {
  const distinct = [...new Set(statuses)];
  return {
    wanted: { rows: Prisma.sql`unnest(${distinct}::int[]) AS wanted (status)`, count: distinct.length },
    is: Prisma.sql`run.status <> 0 AND run.status = ANY(ARRAY[wanted.status])`,
    columns: [Prisma.sql`run.status`],
  };
}

function byTrigger(triggers: NonNullable<RunFilter["triggers"]>): IndexPart {
  const distinct = [...new Set(triggers)];
  return {
    wanted: {
      rows: Prisma.sql`unnest(${distinct}::trigger_type[]) AS wanted (trigger)`,
      count: distinct.length,
    },
    is: Prisma.sql`run.trigger NOT IN ('cron', 'api') AND run.trigger = ANY(ARRAY[wanted.trigger])`,
    columns: [Prisma.sql`run.trigger`],
  };
}

function byTriggeredBy(callers: readonly string[]): IndexPart {
  const distinct = [...new Set(callers)];
  return {
    wanted: { rows: Prisma.sql`unnest(${distinct}::text[]) AS wanted (caller)`, count: distinct.length },
    is: Prisma.sql`run.triggered_by NOT IN ('cron', 'api') AND run.triggered_by = ANY(ARRAY[wanted.caller])`,
    columns: [Prisma.sql`run.triggered_by`],
  };
}
