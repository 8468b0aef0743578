/** Counts and audit entries as the API returns them. */
import { z } from "zod";
import { RUN_STATES } from "../../runs/rules/states.ts";
import { DELIVERY_STATES } from "./delivery.ts";
import { STATS } from "./examples.ts";
import { pageQuerySchema, pageSchema } from "./fields.ts";
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
  actor: nameFilter.describe("The name of the token that made the change"),
  action: nameFilter.describe("The action, such as `job.save`"),
  target: nameFilter.describe("The name or id of the changed object"),
  ...rangeFields,
});

export const entrySchema = z
  .object({
    id: z.uuid(),
    at: z.iso.datetime(),
    actor: z.string().describe("The name of the token that made the change"),
    address: z.string().describe("IP address of the caller"),
    action: z.string(),
    target: z.string().describe("The name or id of the changed object"),
    changes: z.record(z.string(), z.unknown()).describe("Names of the changed fields, never their values"),
  })
  .meta({ id: "AuditEntry", example: EXAMPLE });

export const auditListSchema = pageSchema(entrySchema).meta({
  id: "AuditList",
  example: { items: [EXAMPLE], next_cursor: null },
});

const count = z.int().min(0);
const age = z.int().min(0).nullable();

export const schedulerSchema = z.object({
  last_beat_ms: age.describe(
    "Milliseconds since the last successful beat; null: this process has no scheduler",
  ),
  beat_lateness_ms: age.describe(
    "Milliseconds that the latest beat began late; null: this process has no scheduler",
  ),
  oldest_overdue_ms: age.describe(
    "Milliseconds since the oldest slot that no scheduler has handled became due; null: no slot is overdue",
  ),
});

export const statsSchema = z
  .object({
    runs: z.record(z.enum(RUN_STATES), count).describe("Number of runs by state. Ended runs count for 24 h"),
    waiting: z.object({
      for_a_place: count.describe(
        "Queued runs that wait because their job has reached its concurrency limit",
      ),
      oldest_ms: age.describe("Milliseconds since the oldest queued run was triggered; null: none is queued"),
    }),
    deliveries: z
      .record(z.enum(DELIVERY_STATES), count)
      .describe("Number of deliveries by state. Deliveries that are not pending count for 24 h"),
    jobs: z
      .object({ enabled: count, paused: count, disabled: count })
      .describe("Number of jobs by whether they run"),
    scheduler: schedulerSchema,
    retention: z
      .object({ runs: count, keys: count.describe("Number of idempotency keys") })
      .describe("What the retention of this process has deleted since it started"),
  })
  .meta({ id: "Stats", example: STATS });
