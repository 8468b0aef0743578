/** The audit: each change that a caller makes leaves an entry, in the transaction of the change. */

import { type Deps, newId } from "../deps.ts";
import type { Tx } from "../postgres/client.ts";
import { type AuditFilter, type AuditRow, insertAuditEntry, listAuditEntries } from "./audit-rows.ts";

/** All that callers can do to things. */
export type AuditAction =
  | `job.${"save" | "delete" | "pause" | "resume" | "trigger"}`
  | `schedule.${"save" | "delete"}`
  | `run.${"cancel" | "rerun"}`
  | "delivery.redeliver"
  | `token.${"create" | "delete"}`
  | `secret.${"save" | "delete" | "rotate"}`;

/** What was changed, in names and ids: a value could be a secret. */
type Changes = Record<string, string | boolean | null | readonly string[]>;

/** Writes an entry with the caller's name and address; none when the service acts by itself. */
export async function audit(
  { caller }: Deps,
  tx: Tx,
  action: AuditAction,
  target: string,
  changes: Changes = {},
): Promise<void> {
  if (caller === undefined) return;
  const { name: actor, address } = caller;
  await insertAuditEntry(tx, { id: newId(), actor, address, action, target, changes });
}

/** Entries newest first. */
export async function readAudit(
  deps: Deps,
  filter: AuditFilter,
  page: { beforeId: string | undefined; limit: number },
): Promise<AuditRow[]> {
  return listAuditEntries(deps.db.prisma, filter, page);
}
