/** What a save did to jobs, or would do, field by field. */
import type { z } from "zod";
import type { StoredJob } from "../../jobs/find.ts";
import { documentDiff } from "../../jobs/rules/changes.ts";
import type { ScheduleState } from "../../schedules/read.ts";
import type { Warning } from "../schemas/fields.ts";
import type { changesSchema } from "../schemas/saves.ts";
import { jobDocument } from "./job-document.ts";
import { settingsDocument } from "./schedule.ts";

interface SaveNotes {
  dryRun: boolean;
  warnings: Warning[];
}

/** The changes between a schedule as it was, where it was there, and as it is now. */
export function scheduleChanges(
  before: ScheduleState | undefined,
  after: ScheduleState,
  told: SaveNotes,
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
  told: SaveNotes,
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
