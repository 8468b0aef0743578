/** What goes on in numbers, as the API answers it. */
import { z } from "zod";
import type { Deleted } from "../../runs/retain.ts";
import { RUN_STATES, type RunState } from "../../runs/rules/states.ts";
import type { Stats } from "../../runs/stats.ts";
import type { SchedulerNumbers } from "../../scheduler/overdue.ts";
import { DELIVERY_STATES } from "./delivery.ts";
import { STATS } from "./examples.ts";

const count = z.int().min(0);
const age = z.int().min(0).nullable();

export const schedulerSchema = z.object({
  last_beat_ms: age.describe("Since the last beat that went well; null where this process is no scheduler"),
  beat_lateness_ms: age.describe("How late the latest beat began; null where this process is no scheduler"),
  oldest_overdue_ms: age.describe(
    "How long the oldest slot that no scheduler has seen to is due; null: none is",
  ),
});

export const statsSchema = z
  .object({
    runs: z
      .record(z.enum(RUN_STATES), count)
      .describe("By state: all that have not ended, and those that ended in the last 24 h"),
    waiting: z.object({
      for_a_place: count.describe("Queued runs whose job runs as often as it may"),
      oldest_ms: age.describe("Since the oldest queued run was triggered"),
    }),
    deliveries: z
      .record(z.enum(DELIVERY_STATES), count)
      .describe("By state: all pending ones, and of the others those of the last 24 h"),
    jobs: z.object({ enabled: count, paused: count, disabled: count }),
    scheduler: schedulerSchema,
    retention: z
      .object({ runs: count, keys: count.describe("Idempotency keys") })
      .describe("What this process has deleted since it started, because it was too old"),
  })
  .meta({ id: "Stats", example: STATS });

/**
 * @param scheduler as this process sees it
 * @param deleted by this process's retention
 */
export function statsView(
  stats: Stats,
  scheduler: SchedulerNumbers,
  deleted: Deleted,
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

export function schedulerView(numbers: SchedulerNumbers): z.input<typeof schedulerSchema> {
  const whole = (ms: number | null) => ms && Math.round(ms);
  return {
    last_beat_ms: whole(numbers.sinceLastBeat),
    beat_lateness_ms: whole(numbers.beatLateness),
    oldest_overdue_ms: whole(numbers.oldestOverdue),
  };
}
