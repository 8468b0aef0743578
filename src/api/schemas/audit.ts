/** Entries of the audit as the API answers them, and which of them to list. */
import { z } from "zod";
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
