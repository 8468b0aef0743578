/** Converts jobs to responses, with their next slots. */
import type { z } from "zod";
import type { StoredJob, StoredRevision } from "../../jobs/find.ts";
import type { readNext } from "../../jobs/next.ts";
import { knownNextSlots } from "../../time/known-slots.ts";
import { formatLocalTime } from "../../time/zones.ts";
import type { agendaSchema, jobViewSchema, nextSchema, revisionSchema } from "../schemas/job-answers.ts";
import { jobDocument } from "./job-document.ts";

const NEXT_RUNS = 3;

type JobView = z.input<typeof jobViewSchema>;

/** The latest view of a definition, and all else that it was made from. */
const views = new WeakMap<object, { from: string; view: JobView }>();

/**
 * Returns a job with its next slots. As long as nothing of it changes, the view is the same object.
 * @param now the next slots are those after this instant
 */
export function jobView(job: StoredJob, defaultTimezone: string, now: Date): Readonly<JobView> {
  const { definition, scheduleTimezone, revision, createdAt, updatedAt, paused } = job;
  const timezone = zoneOf(job, defaultTimezone);
  const nextRuns = upcoming(job, timezone, now, NEXT_RUNS);
  const rest = [timezone, scheduleTimezone, revision, createdAt.getTime(), updatedAt.getTime(), paused];
  const from = JSON.stringify([...rest, ...nextRuns.map((slot) => slot.getTime())]);
  const known = views.get(definition);
  if (known?.from === from) return known.view;
  const view = Object.freeze(viewOf(job, timezone, nextRuns));
  views.set(definition, { from, view });
  return view;
}

function viewOf(job: StoredJob, timezone: string, nextRuns: readonly Date[]): JobView {
  const { definition, paused } = job;
  return {
    ...jobDocument(definition),
    schedule: definition.schedule,
    timezone,
    ...(definition.timezone === null && { inherited_timezone: timezone }),
    retries: definition.retry.limit,
    revision: job.revision,
    created_at: job.createdAt.toISOString(),
    updated_at: job.updatedAt.toISOString(),
    paused: paused && { ...paused, at: paused.at.toISOString() },
    next_runs: nextRuns.map((slot) => slot.toISOString()),
  };
}

/** Returns the next slots of a job, in UTC and in local time of its zone. */
export function nextView(
  job: StoredJob,
  defaultTimezone: string,
  now: Date,
  count: number,
): z.input<typeof nextSchema> {
  const timezone = zoneOf(job, defaultTimezone);
  const items = upcoming(job, timezone, now, count).map((slot) => ({
    at: slot.toISOString(),
    local: formatLocalTime(slot, timezone),
  }));
  return { timezone, items };
}

function zoneOf({ definition, scheduleTimezone }: StoredJob, defaultTimezone: string): string {
  return definition.timezone ?? scheduleTimezone ?? defaultTimezone;
}

/** Returns the next slots; a disabled or paused job has none. */
function upcoming({ definition, paused }: StoredJob, zone: string, after: Date, count: number): Date[] {
  if (!definition.enabled || paused !== null) return [];
  return knownNextSlots({ crons: definition.cron, zone, after, count });
}

/** Returns the next slots of all jobs. */
export function agendaView({
  items,
  truncated,
}: Awaited<ReturnType<typeof readNext>>): z.input<typeof agendaSchema> {
  return {
    items: items.map(({ at, job: { name, schedule, timezone } }) => ({
      at: at.toISOString(),
      local: formatLocalTime(at, timezone),
      job: name,
      schedule,
      timezone,
    })),
    truncated,
  };
}

/** Returns a revision with its document. */
export function revisionView(revision: StoredRevision): z.input<typeof revisionSchema> {
  return {
    number: revision.number,
    created_at: revision.createdAt.toISOString(),
    document: jobDocument(revision.definition),
  };
}
