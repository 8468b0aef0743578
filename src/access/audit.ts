/** The audit log: each change by a caller writes an entry, in the same transaction. */
import type { Database, SqlTx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { idRange, newId, type TimeRange } from "../postgres/ids.ts";
import type { Caller } from "./rules/grants.ts";

/** Every change that a caller can make. */
export type AuditAction =
  | `job.${"save" | "delete" | "pause" | "resume" | "trigger"}`
  | `schedule.${"save" | "delete"}`
  | `run.${"cancel" | "rerun"}`
  | "delivery.redeliver"
  | `token.${"create" | "delete"}`
  | `secret.${"save" | "delete" | "rotate"}`;

/** Only names and ids: a value could be a secret. */
type Changes = Record<string, string | boolean | null | readonly string[]>;

/** A change by a caller. */
export interface AuditedChange {
  caller: Caller;
  action: AuditAction;
  target: string;
  changes?: Changes;
}

/** Writes an entry with the caller's name and address. */
export async function audit(
  tx: SqlTx,
  caller: Caller,
  action: AuditAction,
  target: string,
  changes: Changes = {},
): Promise<void> {
  await auditAll(tx, [{ caller, action, target, changes }]);
}

/** Writes an entry for each change. */
export async function auditAll(tx: SqlTx, entries: readonly AuditedChange[]): Promise<void> {
  if (entries.length === 0) return;
  const rows = entries.map(({ caller: { name: actor, address }, action, target, changes = {} }) => {
    return { id: newId(), actor, address, action, target, changes };
  });
  await tx.$executeRaw`
    INSERT INTO audit_entry (id, at, actor, address, action, target, changes)
    SELECT id, now(), actor, address, action, target, changes
    FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      AS entry (id uuid, actor text, address text, action text, target text, changes jsonb)`;
}

export type AuditRow = Prisma.AuditEntryGetPayload<object>;

/** Selects entries: all fields must match. */
export interface AuditFilter extends TimeRange {
  actor?: string | undefined;
  action?: string | undefined;
  target?: string | undefined;
}

/** Reads the entries older than `beforeId`, or all entries without it; newest first. */
export async function readAudit(
  db: Database,
  filter: AuditFilter,
  page: { beforeId: string | undefined; limit: number },
): Promise<AuditRow[]> {
  const { since, until, ...same } = filter;
  const { from, to } = idRange(filter);
  const equal = Object.entries(same).flatMap(([field, value]) =>
    value === undefined ? [] : [{ [field]: value }],
  );
  return db.prisma.auditEntry.findMany({
    where: {
      AND: [
        ...equal,
        page.beforeId ? { id: { lt: page.beforeId } } : {},
        from ? { id: { gte: from } } : {},
        to ? { id: { lt: to } } : {},
        since ? { at: { gte: since } } : {},
        until ? { at: { lt: until } } : {},
      ],
    },
    orderBy: { id: "desc" },
    take: page.limit,
  });
}
