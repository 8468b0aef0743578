/** Describes the changes of a save or a dry run, field by field. */
import type { z } from "zod";
import type { StoredJob } from "../../jobs/find.ts";
import { documentDiff } from "../../jobs/rules/changes.ts";
import type { ScheduleState } from "../../schedules/read.ts";
import type { Warning } from "../schemas/fields.ts";
import type { changesSchema } from "../schemas/saves.ts";
import { jobDocument } from "./job-document.ts";
import { settingsDocument } from "./schedule.ts";

/** The parts of the response that do not depend on the change. */
interface SaveReport {
  dryRun: boolean;
  warnings: Warning[];
}

/** Compares a schedule before and after a save; `before` is undefined for a new schedule. */
export function scheduleChanges(
  before: ScheduleState | undefined,
  after: ScheduleState,
  report: SaveReport,
): z.input<typeof changesSchema> {
  const settings = before === undefined ? {} : settingsDocument(before.schedule);
  return {
    name: after.schedule.name,
    ...jobChanges(before?.jobs ?? [], after.jobs),
    schedule_diff: documentDiff(settings, settingsDocument(after.schedule)),
    dry_run: report.dryRun,
    warnings: report.warnings,
  };
}

/** Compares one job before and after a save; `before` is undefined for a new job. */
export function changesOfJob(
  before: StoredJob | undefined,
  after: StoredJob,
  report: SaveReport,
): z.input<typeof changesSchema> {
  return {
    name: after.definition.schedule,
    ...jobChanges(before === undefined ? [] : [before], [after]),
    schedule_diff: [],
    dry_run: report.dryRun,
    warnings: report.warnings,
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
