/** What a save did to jobs, or would do, field by field. */
import { z } from "zod";
import type { StoredJob } from "../../jobs/find.ts";
import { documentDiff } from "../../jobs/rules/changes.ts";
import type { ScheduleState } from "../../schedules/read.ts";
import { jobDocument } from "./job.ts";
import { settingsDocument } from "./schedule.ts";
import { type Warning, warningsSchema } from "./warnings.ts";

const fieldChangesSchema = z.array(
  z.object({
    path: z.string(),
    before: z.unknown().describe("null: it was not there"),
    after: z.unknown().describe("null: it is not there any more"),
  }),
);

export const changesSchema = z
  .object({
    name: z.string().describe("Of the schedule"),
    created: z.array(z.string()),
    updated: z.array(z.string()),
    deleted: z.array(z.string()),
    unchanged: z.array(z.string()),
    dry_run: z.boolean().describe("true: nothing was saved"),
    diff: z.record(z.string(), fieldChangesSchema).describe("Of each updated job"),
    schedule_diff: fieldChangesSchema.describe("Of the schedule itself"),
    warnings: warningsSchema,
  })
  .meta({
    id: "Changes",
    description: "Names of jobs by what the document did to them, or would do",
    example: {
      name: "kitchen",
      created: ["cleanup_job"],
      updated: ["coffee"],
      deleted: [],
      unchanged: [],
      dry_run: false,
      diff: { coffee: [{ path: "retry.limit", before: 0, after: 3 }] },
      schedule_diff: [{ path: "tz_location", before: null, after: "Europe/Brussels" }],
      warnings: [],
    },
  });

interface Told {
  dryRun: boolean;
  warnings: Warning[];
}

/** The changes between a schedule as it was, where it was there, and as it is now. */
export function scheduleChanges(
  before: ScheduleState | undefined,
  after: ScheduleState,
  told: Told,
): z.input<typeof changesSchema> {
  const settings = before === undefined ? {} : settingsDocument(before.schedule);
  return {
    name: after.schedule.name,
    ...jobChanges(before?.jobs ?? [], after.jobs),
    schedule_diff: documentDiff(settings, settingsDocument(after.schedule)),
    dry_run: told.dryRun,
    warnings: told.warnings,
  };
}

/** The changes to one job. */
export function changesOfJob(
  before: StoredJob | undefined,
  after: StoredJob,
  told: Told,
): z.input<typeof changesSchema> {
  return {
    name: after.definition.schedule,
    ...jobChanges(before === undefined ? [] : [before], [after]),
    schedule_diff: [],
    dry_run: told.dryRun,
    warnings: told.warnings,
  };
}

function jobChanges(before: readonly StoredJob[], after: readonly StoredJob[]) {
  const names = (jobs: readonly StoredJob[]) => jobs.map((job) => job.definition.name);
  const old = new Map(before.map((job) => [job.definition.name, job]));
  const kept = after.flatMap((now) => {
    const then = old.get(now.definition.name);
    return then === undefined ? [] : [{ now, then, same: then.revisionId === now.revisionId }];
  });
  const changed = kept.filter(({ same }) => !same);
  const diff = changed.map(({ now, then }) => [
    now.definition.name,
    documentDiff(jobDocument(then.definition), jobDocument(now.definition)),
  ]);
  const left = new Set(names(after));
  return {
    created: names(after).filter((name) => !old.has(name)),
    updated: names(changed.map(({ now }) => now)),
    deleted: names(before).filter((name) => !left.has(name)),
    unchanged: names(kept.filter(({ same }) => same).map(({ now }) => now)),
    diff: Object.fromEntries(diff),
  };
}
