/** Queries of the event actions that apply when an attempt ends. */

import { type ActionOptions, actionOptions } from "../jobs/rules/definition.ts";
import type { Tx } from "../postgres/client.ts";
import type { Prisma } from "../postgres/generated/client.ts";
import type { SettlingAction } from "./rules/settlement.ts";

const TARGET = {
  targetJob: {
    select: { id: true, name: true, deletedAt: true, currentRevision: { select: { enabled: true } } },
  },
} as const;
type ActionRow = Prisma.EventActionGetPayload<{ include: typeof TARGET }>;

/** The actions of a revision, then those that its schedule has now; targets as they are now. */
export async function settlingActions(
  tx: Tx,
  revisionId: string,
  scheduleId: string,
): Promise<SettlingAction[]> {
  const rows = await tx.eventAction.findMany({
    where: { OR: [{ jobRevisionId: revisionId }, { scheduleId }] },
    include: TARGET,
    orderBy: { position: "asc" },
  });
  const own = rows.filter((row) => row.jobRevisionId !== null);
  const shared = rows.filter((row) => row.jobRevisionId === null);
  return [
    ...own.map((row) => settlingAction(row, "job")),
    ...shared.map((row) => settlingAction(row, "schedule")),
  ];
}

function settlingAction(row: ActionRow, level: "job" | "schedule"): SettlingAction {
  const { event, action, targetJob } = row;
  const options = actionOptions(row.options as ActionOptions);
  if (targetJob === null) return { level, event, action, target: row.url ?? "", ...options };
  const { id, name, deletedAt, currentRevision } = targetJob;
  const job = { id, enabled: currentRevision?.enabled ?? false, deleted: deletedAt !== null };
  return { level, event, action, target: name, job };
}
