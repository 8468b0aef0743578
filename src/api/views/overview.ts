/** Converts counts and audit entries to responses. */
import type { z } from "zod";
import type { AuditRow } from "../../access/audit.ts";
import type { DeletionCount } from "../../runs/retain.ts";
import { RUN_STATES, type RunState } from "../../runs/rules/states.ts";
import type { Stats } from "../../runs/stats.ts";
import type { SchedulerNumbers } from "../../scheduler/overdue.ts";
import type { entrySchema, schedulerSchema, statsSchema } from "../schemas/overview.ts";

/** Returns an audit entry. */
export function auditView({ at, changes, ...entry }: AuditRow): z.input<typeof entrySchema> {
  return { ...entry, at: at.toISOString(), changes: changes as Record<string, unknown> };
}

/**
 * Returns the counts of runs, deliveries and jobs.
 * @param scheduler the numbers that this process knows
 * @param deleted the rows that the retention of this process has deleted
 */
export function statsView(
  stats: Stats,
  scheduler: SchedulerNumbers,
  deleted: DeletionCount,
): z.input<typeof statsSchema> {
  const { now, active, ended, deliveries, jobs } = stats;
  const { queued, running, retrying, waitingForPlace, oldestQueued } = active;
  const counts: Partial<Record<RunState, number>> = {
    ...Object.fromEntries(ended),
    queued,
    running,
    retrying,
  };
  return {
    runs: Object.fromEntries(RUN_STATES.map((state) => [state, counts[state] ?? 0])) as Record<
      RunState,
      number
    >,
    waiting: {
      for_a_place: waitingForPlace,
      oldest_ms: oldestQueued && Math.max(0, now.getTime() - oldestQueued.getTime()),
    },
    deliveries,
    jobs,
    scheduler: schedulerView(scheduler),
    retention: deleted,
  };
}

/** Returns the numbers of the scheduler in whole milliseconds. */
export function schedulerView(numbers: SchedulerNumbers): z.input<typeof schedulerSchema> {
  const whole = (ms: number | null) => ms && Math.round(ms);
  return {
    last_beat_ms: whole(numbers.sinceLastBeat),
    beat_lateness_ms: whole(numbers.beatLateness),
    oldest_overdue_ms: whole(numbers.oldestOverdue),
  };
}
