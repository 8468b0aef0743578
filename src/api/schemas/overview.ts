/** Counts and entries of the audit, as the API answers them. */
import { z } from "zod";
import { RUN_STATES } from "../../runs/rules/states.ts";
import { DELIVERY_STATES } from "./delivery.ts";
import { STATS } from "./examples.ts";
import { pageQuerySchema } from "./fields.ts";
import { rangeFields } from "./run-queries.ts";

const EXAMPLE = {
  id: "019ca8a5-3c41-7d20-9f6b-1e2a7c5d8b94",
  at: "2026-03-01T09:05:27.105Z",
  actor: "ann",
  address: "127.0.0.1",
  action: "job.save",
  target: "coffee",
  changes: { fields: ["cron", "on_error"] },
};

const nameFilter = z.string().min(1).max(200).optional();

export const auditQuerySchema = pageQuerySchema.extend({
  actor: nameFilter.describe("The name of a token"),
  action: nameFilter.describe("Such as job.save"),
  target: nameFilter.describe("A name or an id"),
  ...rangeFields,
});

export const entrySchema = z
  .object({
    id: z.uuid(),
    at: z.iso.datetime(),
    actor: z.string().describe("The name of the token"),
    address: z.string().describe("Where the call came from"),
    action: z.string(),
    target: z.string().describe("The name or id of what was changed"),
    changes: z.record(z.string(), z.unknown()).describe("Names of what has changed, never values"),
  })
  .meta({ id: "AuditEntry", example: EXAMPLE });

export const auditListSchema = z
  .object({ items: z.array(entrySchema), next_cursor: z.string().nullable() })
  .meta({ id: "AuditList", example: { items: [EXAMPLE], next_cursor: null } });

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
