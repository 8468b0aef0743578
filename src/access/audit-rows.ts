/** Queries of the audit: what callers have changed. */

import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import { idRange, type TimeRange } from "../postgres/ids.ts";

export type AuditRow = Prisma.AuditEntryGetPayload<object>;
export type NewAuditEntry = Omit<AuditRow, "at" | "changes"> & { changes: object };

export async function insertAuditEntry(tx: Tx, entry: NewAuditEntry): Promise<void> {
  const { id, actor, address, action, target, changes } = entry;
  await tx.$executeRaw`
    INSERT INTO audit_entry (id, at, actor, address, action, target, changes)
    VALUES (${id}::uuid, now(), ${actor}, ${address}, ${action}, ${target}, ${JSON.stringify(changes)}::jsonb)`;
}

/** Which entries to list. */
export interface AuditFilter extends TimeRange {
  actor?: string | undefined;
  action?: string | undefined;
  target?: string | undefined;
}

/** Entries newest first, from before `beforeId` on. */
export async function listAuditEntries(
  tx: Tx,
  filter: AuditFilter,
  page: { beforeId: string | undefined; limit: number },
): Promise<AuditRow[]> {
  const { since, until, ...same } = filter;
  const { from, to } = idRange(filter);
  const equal = Object.entries(same).flatMap(([field, value]) =>
    value === undefined ? [] : [{ [field]: value }],
  );
  return tx.auditEntry.findMany({
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
