/** Reads the chain of runs that a run belongs to. */
import { runNotFound } from "../errors.ts";
import type { EventName } from "../jobs/rules/definition.ts";
import type { Database, Tx } from "../postgres/client.ts";
import type { RunState } from "./rules/states.ts";

/** The most runs of a chain to return. */
const MAX_TREE = 1_000;

/**
 * The runs of a chain, starting with its first run; each run follows the one that triggered it. Throws run_not_found.
 */
export async function readTree(db: Database, id: string): Promise<{ runs: ChainRun[]; truncated: boolean }> {
  const runs = await chainOf(db.prisma, id, MAX_TREE + 1);
  if (runs.length === 0) throw runNotFound(id);
  return { runs: runs.slice(0, MAX_TREE), truncated: runs.length > MAX_TREE };
}

/** A run of a chain. */
export interface ChainRun {
  id: string;
  /** The run that triggered this one; null for the first run. */
  parentId: string | null;
  event: EventName | null;
  name: string;
  state: RunState;
  status: number | null;
  triggeredAt: Date;
  startedAt: Date | null;
  finishedAt: Date | null;
}

/**
 * Up to `limit` runs of a chain, each after the one that triggered it: first the runs that lead to this run, then the
 * others level by level. Postgres stops the recursion at the inner LIMIT.
 */
async function chainOf(tx: Tx, id: string, limit: number): Promise<ChainRun[]> {
  return tx.$queryRaw<ChainRun[]>`
    WITH RECURSIVE up (id, parent_event_id) AS (
      SELECT id, parent_event_id FROM run WHERE id = ${id}::uuid
      UNION ALL
      SELECT p.id, p.parent_event_id
      FROM up JOIN run_event e ON e.id = up.parent_event_id JOIN run p ON p.id = e.run_id
    ), down (id) AS (
      SELECT id FROM up WHERE parent_event_id IS NULL
      UNION ALL
      SELECT c.id FROM down JOIN run_event e ON e.run_id = down.id JOIN run c ON c.parent_event_id = e.id
    ), chain AS (
      SELECT id, bool_or(leads) AS leads
      FROM (SELECT id, TRUE AS leads FROM up UNION ALL (SELECT id, FALSE FROM down LIMIT ${limit})) AS found
      GROUP BY id
    )
    SELECT r.id, e.run_id AS "parentId", e.event, j.name, r.state, r.status,
      r.triggered_at AS "triggeredAt", r.started_at AS "startedAt", r.finished_at AS "finishedAt"
    FROM chain JOIN run r ON r.id = chain.id JOIN job j ON j.id = r.job_id
    LEFT JOIN run_event e ON e.id = r.parent_event_id
    ORDER BY chain.leads DESC, r.depth, r.id LIMIT ${limit}`;
}
