/** What goes on in numbers, as the API answers it. */
import { z } from "zod";
import { RUN_STATES } from "../../runs/rules/states.ts";
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
