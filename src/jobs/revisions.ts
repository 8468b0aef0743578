/** Queries of what jobs have said over time. */

import type { Tx } from "../postgres/client.ts";
import { ACTION_ROWS, definitionOf, eventAction } from "./find.ts";
import type { JobDefinition } from "./rules/definition.ts";

export interface StoredRevision {
  number: number;
  createdAt: Date;
  /** Without a schedule: a revision does not say where the job was. */
  definition: JobDefinition;
}

/** The revisions of a job, the newest first, of those with a smaller number than `before`. */
export async function findRevisions(
  tx: Tx,
  job: { id: string; name: string },
  { before, limit }: { before?: number | undefined; limit: number },
): Promise<StoredRevision[]> {
  const rows = await tx.jobRevision.findMany({
    where: { jobId: job.id, ...(before !== undefined && { number: { lt: before } }) },
    include: { actions: ACTION_ROWS },
    orderBy: { number: "desc" },
    take: limit,
  });
  return rows.map((row) => ({
    number: row.number,
    createdAt: row.createdAt,
    definition: {
      name: job.name,
      schedule: null,
      ...definitionOf(row),
      actions: row.actions.map(eventAction),
    },
  }));
}
